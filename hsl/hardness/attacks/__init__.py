"""Attacks for training and for evaluation, and the losses they serve."""
