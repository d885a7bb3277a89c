"""Outputs of torchvision's and timm's backbones for seeded weights: `python -m tools.backbones [name ...]`."""
