"""Answers as terminal tables and text, JSON, CSV, Parquet, Markdown."""
