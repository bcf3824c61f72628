"""Early stopping, spot machines and warm starts replayed on recorded learning curves."""
