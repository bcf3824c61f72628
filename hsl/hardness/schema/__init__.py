"""What makes data hard, as checked settings. Imports no torch."""
