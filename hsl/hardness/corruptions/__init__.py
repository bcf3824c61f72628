"""Corruptions of images by name and severity, with their published constants.

Parameters and result of each are those of `hsl.hardness.registries.CORRUPTIONS`.
"""
