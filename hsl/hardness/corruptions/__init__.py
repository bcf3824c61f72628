"""Corruptions of images by name and severity, with their published constants."""
