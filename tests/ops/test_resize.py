"""Resizing against PyTorch's results (tools/segmentation)."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.ops import resize_bilinear, resize_nearest
from tests.weights.seeded import seeded

FIXTURE = Path(__file__).parent.parent / 'fixtures' / 'segmentation' / 'operators.npz'


def cases(kind):
    """(sizes before, sizes after, further numbers, expected)."""
    with np.load(FIXTURE) as file:
        for key in file.files:
            if key.startswith(kind):
                h, w, i, j, *rest = map(int, key.split('/')[1:])
                yield (h, w), (i, j), rest, file[key]


def test_bilinear_is_pytorchs_of_both_alignments_up_and_down():
    found = list(cases('bilinear'))
    assert len(found) == 12
    for old, new, (align_corners,), expected in found:
        x = jnp.asarray(seeded('resized', (2, *old, 3)))
        y = resize_bilinear(x, size=new, align_corners=bool(align_corners))
        np.testing.assert_allclose(y, expected, atol=1e-5, rtol=0, err_msg=f'{old} {new} {align_corners}')


def test_nearest_is_pytorchs():
    found = list(cases('nearest'))
    assert len(found) == 7
    for old, new, _, expected in found:
        y = resize_nearest(jnp.asarray(seeded('resized', (2, *old, 3))), size=new)
        np.testing.assert_array_equal(y, expected, err_msg=f'{old} {new}')


def test_corners_and_constants():
    """Aligned corners keep their values; weights sum to one; one pixel is spread."""
    x = jnp.asarray(seeded('corners', (1, 6, 5, 2)))
    y = resize_bilinear(x, size=(9, 14), align_corners=True)
    np.testing.assert_allclose(y[:, ::8, ::13], x[:, ::5, ::4], atol=1e-6)
    for align_corners in (False, True):
        np.testing.assert_allclose(
            resize_bilinear(jnp.full((1, 3, 7, 1), 2.0), size=(8, 5), align_corners=align_corners), 2, atol=1e-6
        )
        np.testing.assert_array_equal(
            resize_bilinear(x[:, :1, :1], size=(2, 3), align_corners=align_corners),
            x[:, :1, :1].repeat(2, 1).repeat(3, 2),
        )


def test_under_jit_vmap_and_grad_and_in_bfloat16():
    x = jnp.asarray(seeded('transformed', (3, 4, 5, 2)))

    @jax.jit
    def everything(x):
        resize = lambda x: resize_bilinear(x, size=(7, 9))  # noqa: E731
        mapped = jax.vmap(lambda x: resize(x[None])[0])(x)
        return (
            resize(x),
            mapped,
            jax.grad(lambda x: resize(x).sum())(x),
            jax.grad(lambda x: resize_nearest(x, size=(8, 7)).sum())(x),
        )

    y, mapped, gradient, of_nearest = everything(x)
    np.testing.assert_allclose(mapped, y, atol=1e-6)
    np.testing.assert_allclose(gradient.sum(), y.size, rtol=1e-5)
    times = np.bincount(np.arange(7) * 5 // 7)
    np.testing.assert_array_equal(of_nearest[0, :, :, 0], np.outer([2] * 4, times))
    half = resize_bilinear(x.astype(jnp.bfloat16), size=(7, 9))
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(half.astype(jnp.float32), y, atol=0.05)


def test_sizes_are_positive():
    for resize in (resize_bilinear, resize_nearest):
        with pytest.raises(ValueError, match=r'size\[0\] must be in \[1, inf\), got 0'):
            resize(jnp.ones((1, 2, 2, 1)), size=(0, 3))
