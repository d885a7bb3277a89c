"""Layers of photos that move, with their exact optical flow, as a tfds data set drawn by a seed."""

__all__: list[str] = []
