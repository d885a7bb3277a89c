"""Handwritten digits on photos and textures as a tfds data set with exact masks and boxes, drawn by a seed."""

__all__: list[str] = []
