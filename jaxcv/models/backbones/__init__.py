"""Backbones: networks for the class of an image, whose stages other networks are built on; one file a family.

`jaxcv.models` has them all by name, `jaxcv.models.resnet18`.
"""
