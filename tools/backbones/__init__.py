"""What torchvision's and timm's backbones give for seeded weights: `python -m tools.backbones [name ...]`."""
