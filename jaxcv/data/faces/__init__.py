"""The tfds builder `faces`. tfds looks for a builder's resource files in its folder: so it has one of its own."""

__all__: list[str] = []
