"""Difficulty scores of samples: from logits, trajectories and gradients. Higher is harder."""
