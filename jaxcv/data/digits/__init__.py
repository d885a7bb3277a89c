"""scikit-learn's handwritten digits as a tfds data set: real, bundled, prepared in a second."""

__all__: list[str] = []
