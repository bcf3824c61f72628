"""How the non-zeros of a network are split over its layers."""
