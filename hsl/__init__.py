"""hard sample learners: find the sparse neural network that learns hard data best."""

__version__ = "0.1.0"
