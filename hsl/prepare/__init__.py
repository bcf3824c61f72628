"""What must be there before a trial: checked spaces, parents, scores, selections."""
