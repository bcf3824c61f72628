"""Checked settings of a regime. Imports no torch."""
