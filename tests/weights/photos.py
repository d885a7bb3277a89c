"""A picture that a size makes, so that a test and a tool that runs PyTorch have the same one without storing it."""

import numpy as np


def photo(size: tuple[int, int]) -> np.ndarray:
    """Make a uint8 image [h w 3]: slopes, noise, and black and white blocks, whose edges a cubic filter overshoots."""
    rng = np.random.Generator(np.random.PCG64(size[0]))
    y, x = np.indices(size)
    slopes = np.stack([x * 255 // size[1], y * 255 // size[0], (x + y) % 256], axis=-1)
    blocks = ((x // 16 + y // 16) % 5 == 0)[..., None]
    noisy = np.clip(slopes + rng.integers(-40, 41, (*size, 3)), 0, 255)
    return np.where(blocks, 255 * ((x // 16) % 2)[..., None], noisy).astype(np.uint8)
