"""What a person sees of a sweep: progress, status, nodes, the mirror for optuna-dashboard. Imports no ray.tune."""
