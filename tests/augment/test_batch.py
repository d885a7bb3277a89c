"""Forms, units and types of images that no augmentation takes."""

import jax
import jax.numpy as jnp
import pytest

from jaxcv import augment

KEY = jax.random.key(0)


@pytest.mark.parametrize('function', [augment.random_flip, augment.random_brightness, augment.random_grayscale])
def test_images_without_a_channel(function):
    with pytest.raises(ValueError, match=r'\[n, h, w, c\], got \(2, 4, 4\): images\[..., None\]'):
        function(KEY, {'image': jnp.zeros((2, 4, 4))})


@pytest.mark.parametrize('function', [augment.random_contrast, augment.color_jitter, augment.rand_augment])
def test_floats_of_another_unit(function):
    """0 to 255, which would be clipped to white, and normalized ones; those of padding may hold anything."""
    for low, high in ((0, 255), (-2, 2)):
        images = jnp.full((2, 4, 4, 3), low, jnp.float32).at[0].set(high)
        with pytest.raises(ValueError, match=f'floats in .0, 1., got {low} to {high}'):
            function(KEY, {'image': images})
    images = jnp.zeros((2, 1, 1, 3)).at[1].set(jnp.nan)
    augment.random_brightness(KEY, {'image': images, 'valid': jnp.array([True, False])})


@pytest.mark.parametrize('dtype', ['int32', 'bool'])
def test_types_without_a_range(dtype):
    for fill in (0.5, 'noise'):
        with pytest.raises(ValueError, match=f'floats in .0, 1. or uint8, got {dtype}'):
            augment.cutout(KEY, {'image': jnp.zeros((1, 4, 4, 1), dtype)}, size=2, fill=fill)


def test_keys_of_the_old_kind():
    with pytest.raises(ValueError, match='wrap_key_data'):
        augment.random_flip.__wrapped__(jax.random.PRNGKey(0), {'image': jnp.zeros((2, 4, 4, 3))})
