"""Configs of semantic segmentation."""
