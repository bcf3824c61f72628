"""Training one configuration with one seed. Knows no Ray; importing it imports no torch."""
