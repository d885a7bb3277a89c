"""Configs of semantic segmentation: one a file."""
