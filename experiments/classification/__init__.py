"""Configs of image classification: one a file."""
