"""Configs of embedding networks."""
