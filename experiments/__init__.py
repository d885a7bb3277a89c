"""Launchers (`train`, `evaluate`, `predict`) and the configs they run, a folder for each task."""
