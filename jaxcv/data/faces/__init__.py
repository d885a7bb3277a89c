"""scikit-image's patches of faces and of backgrounds as a tfds data set: real, bundled, prepared in a second."""

__all__: list[str] = []
