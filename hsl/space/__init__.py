"""A search space: YAML to a checked schema. Imports no torch and no ray."""
