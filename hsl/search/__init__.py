"""The search: spaces, plans, parents, sweeps on Ray Tune, early stopping."""
