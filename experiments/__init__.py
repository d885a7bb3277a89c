"""Launchers (`train`, `evaluate`, `predict`) and the configs they run, a folder for each task."""

import sys

from experiments import starting

if sys.argv[0] == '-m':  # Python looks for the launcher, and imports it next
    sys.excepthook = starting.show
