"""Stereo pairs of layers of photos, with the exact disparity of both views, as a tfds data set drawn by a seed."""

__all__: list[str] = []
