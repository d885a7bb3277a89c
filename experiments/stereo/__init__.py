"""Configs of stereo and optical flow."""
