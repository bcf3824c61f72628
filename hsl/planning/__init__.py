"""What a space will train and what that costs: cells, jobs, scores, samplers by cell. Imports no torch and no ray."""
