"""Comparisons that make a table and a figure: `python -m experiments.studies.NAME --workdir=FOLDER`."""
