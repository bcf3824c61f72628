"""Evaluation of a network: every epoch, and of the kept ones at the end."""
