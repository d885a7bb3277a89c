"""Image classification: one config a file."""
