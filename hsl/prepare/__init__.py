"""Prerequisites of trials: checked spaces, parents, scores, selections."""
