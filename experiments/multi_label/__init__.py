"""Configs: several labels an image."""
