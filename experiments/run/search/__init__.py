"""Random search over the fields of a config."""
