"""Random search: the space that is drawn from, the trials, and the report of what they reached."""
