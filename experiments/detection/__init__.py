"""Configs of detectors."""
