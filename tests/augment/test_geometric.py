"""The draws are read off the results: every picture says where its pixels come from."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxcv import augment
from jaxcv.augment import geometric

N, H, W = 24, 12, 16
KEY = jax.random.key(3)
RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (N, H, W, 3)).astype(np.uint8)
ROWS, COLUMNS = np.mgrid[:H, :W]
# An object, one that reaches the border, and padding.
BOXES = np.array([[2, 3, 9, 8], [11, 0, 16, 12], [0, 0, 0, 0]], np.float32)


def inside(box):
    x1, y1, x2, y2 = box
    return (x1 <= COLUMNS) & (x2 > COLUMNS) & (y1 <= ROWS) & (y2 > ROWS)


def whole_batch(image=NOISE):
    masks = np.stack([inside(box) for box in BOXES])

    def repeated(x):
        return jnp.asarray(np.repeat(x[None], len(image), 0))

    return {
        'image': jnp.asarray(image),
        'label': jnp.arange(len(image)),
        'valid': jnp.arange(len(image)) % 3 > 0,
        'boxes': repeated(BOXES),
        'box_valid': repeated(np.array([True, True, False])),
        'mask': repeated((ROWS * W + COLUMNS).astype(np.int32)),  # the class of a pixel: its place
        'instance_masks': repeated(masks),
    }


AUGMENTATIONS = {
    'flip': functools.partial(augment.random_flip, probability=0.5),
    'flip_vertical': functools.partial(augment.random_flip, axis='vertical'),
    'shift': functools.partial(augment.random_shift, max_shift=3, fill=0.5),
    'crop': functools.partial(augment.random_crop, size=(7, 9)),
    'padded_crop': functools.partial(augment.random_crop, size=10, padding=2, fill=1.0, mask_fill=999),
    'scale_patch': functools.partial(augment.random_scale_crop, size=(5, 6), scales=(6, 9)),
    'grown_patch': functools.partial(augment.random_scale_crop, size=14, scales=(14, 15)),
    'resized_crop': functools.partial(augment.random_resized_crop, size=(6, 8)),
    'grown_crop': functools.partial(augment.random_resized_crop, size=(20, 12), area=(0.3, 0.9)),
}
RESAMPLING = ('scale_patch', 'grown_patch', 'resized_crop', 'grown_crop')
jitted = {name: jax.jit(function) for name, function in AUGMENTATIONS.items()}


def cut(picture, top, left, height, width, fill):
    """From the definition, pixel by pixel."""
    out = np.full((height, width, *picture.shape[2:]), fill, picture.dtype)
    for y, x in itertools.product(range(height), range(width)):
        if 0 <= top + y < picture.shape[0] and 0 <= left + x < picture.shape[1]:
            out[y, x] = picture[top + y, left + x]
    return out


def area(box):
    return (box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1])


@pytest.mark.parametrize(('name', 'dtype'), [('flip', np.uint8), ('flip_vertical', np.float32)])
def test_flip_mirrors_all_or_nothing(name, dtype):
    image = NOISE if dtype == np.uint8 else NOISE.astype(np.float32) / 255
    batch = whole_batch(image)
    out = jax.device_get(jitted[name](KEY, batch))
    axis = 1 if name == 'flip' else 0
    boxes = BOXES.copy()
    if axis == 1:
        boxes[:, [0, 2]] = W - BOXES[:, [2, 0]]
    else:
        boxes[:, [1, 3]] = H - BOXES[:, [3, 1]]
    drawn = (out['image'] != image).any(axis=(1, 2, 3))
    assert 4 < drawn.sum() < N - 4
    for i in range(N):
        flip = functools.partial(np.flip, axis=axis) if drawn[i] else np.asarray
        np.testing.assert_array_equal(out['image'][i], flip(image[i]))
        np.testing.assert_array_equal(out['mask'][i], flip(np.asarray(batch['mask'][i])))
        np.testing.assert_array_equal(out['instance_masks'][i, 0], flip(inside(BOXES[0])))
        np.testing.assert_array_equal(out['boxes'][i], boxes if drawn[i] else BOXES)
        np.testing.assert_array_equal(out['box_valid'][i], [True, True, False])
    assert out['image'].dtype == dtype


@pytest.mark.parametrize(
    ('name', 'dtype', 'size', 'reach', 'fill', 'mask_fill'),
    [
        ('shift', np.uint8, (H, W), 3, 128, 255),
        ('shift', np.float32, (H, W), 3, 0.5, 255),
        ('crop', np.float32, (7, 9), 0, 0, 255),
        ('padded_crop', np.uint8, (10, 10), 2, 255, 999),
    ],
)
def test_shift_and_crop_cut_whole_pixels(name, dtype, size, reach, fill, mask_fill):
    image = NOISE if dtype == np.uint8 else NOISE.astype(np.float32) / 255
    out = jax.device_get(jitted[name](KEY, whole_batch(image)))
    assert out['image'].dtype == dtype
    places = np.mgrid[-reach : H + reach - size[0] + 1, -reach : W + reach - size[1] + 1].reshape(2, -1).T
    drawn = set()
    for i in range(N):
        fits = [p for p in places if np.array_equal(cut(image[i], *p, *size, fill), out['image'][i])]
        assert len(fits) == 1
        top, left = fits[0]
        drawn.add((top, left))
        np.testing.assert_array_equal(cut(ROWS * W + COLUMNS, top, left, *size, mask_fill), out['mask'][i])
        moved = BOXES - [left, top, left, top]
        clipped = np.clip(moved, 0, [size[1], size[0], size[1], size[0]])
        np.testing.assert_array_equal(clipped, out['boxes'][i])
        np.testing.assert_array_equal((area(clipped) > 0) & [True, True, False], out['box_valid'][i])
        for k in range(3):
            np.testing.assert_array_equal(cut(inside(BOXES[k]), top, left, *size, False), out['instance_masks'][i, k])
    assert len(drawn) > N / 2


def by_pillow(image, box, size):
    """What `resize` makes of the `box` (top, left, height, width) of an image `[h w c]`, in floats."""
    top, left, height, width = (float(side) for side in box)
    channels = [
        Image.fromarray(np.ascontiguousarray(image[..., c]), mode='F').resize(
            size[::-1], Image.Resampling.BILINEAR, box=(left, top, left + width, top + height)
        )
        for c in range(image.shape[-1])
    ]
    return np.stack([np.asarray(channel) for channel in channels], axis=-1)


def check_resampled(out, image, box, size):
    """One example against what cutting `box` and resizing it to `size` gives."""
    np.testing.assert_allclose(out['image'], by_pillow(image, box, size), atol=5e-6)
    top, left, height, width = box
    down, across = size[0] / height, size[1] / width
    rows, columns = np.divmod(out['mask'], W)
    # The nearest pixel: its centre is at most half a pixel from what is looked up.
    assert abs(rows + 0.5 - top - (np.arange(size[0])[:, None] + 0.5) / down).max() < 0.5 + 1e-4
    assert abs(columns + 0.5 - left - (np.arange(size[1]) + 0.5) / across).max() < 0.5 + 1e-4
    np.testing.assert_array_equal(out['instance_masks'][0], inside(BOXES[0])[rows, columns])
    boxes = (BOXES - [left, top, left, top]) * [across, down, across, down]
    boxes = np.clip(boxes, 0, [size[1], size[0], size[1], size[0]])
    np.testing.assert_allclose(out['boxes'], boxes, atol=1e-4)
    np.testing.assert_array_equal(out['box_valid'], (area(boxes) > 0) & [True, True, False])


@pytest.mark.parametrize(
    ('name', 'size', 'scales'), [('scale_patch', (5, 6), (6, 9)), ('grown_patch', (14, 14), (14, 15))]
)
def test_scale_patch_is_a_patch_of_the_image_resized_isotropically(name, size, scales):
    image = NOISE.astype(np.float32) / 255
    out = jax.device_get(jitted[name](KEY, whole_batch()))
    drawn = set()
    for i in range(N):
        candidates = []
        for short in range(scales[0], scales[1] + 1):
            whole = (short, round(W * short / H))
            resized = by_pillow(image[i], (0, 0, H, W), whole)
            for top, left in np.ndindex(whole[0] - size[0] + 1, whole[1] - size[1] + 1):
                patch = resized[top : top + size[0], left : left + size[1]]
                candidates.append((abs(patch - out['image'][i]).max(), short, top, left))
        error, short, top, left = min(candidates)
        assert error < 5e-6
        drawn.add((short, top, left))
        down, across = short / H, round(W * short / H) / W
        box = (top / down, left / across, size[0] / down, size[1] / across)
        check_resampled({k: v[i] for k, v in out.items()}, image[i], box, size)
    assert {short for short, _, _ in drawn} == set(range(scales[0], scales[1] + 1))
    assert len(drawn) > N / 3


@pytest.mark.parametrize('name', ['resized_crop', 'grown_crop'])
def test_resized_crop_cuts_a_box_of_whole_pixels(name):
    """The box from the key, what becomes of it from Pillow."""
    image = NOISE.astype(np.float32) / 255
    out = jax.device_get(jitted[name](KEY, whole_batch()))
    size = out['image'].shape[1:3]
    shares = (0.3, 0.9) if name == 'grown_crop' else (0.08, 1.0)
    keys = jax.random.split(KEY, N)
    corners, boxes = jax.vmap(lambda key: geometric._draw_box(key, H, W, shares, (3 / 4, 4 / 3)))(keys)
    for i in range(N):
        box = (*np.asarray(corners[i]), *np.asarray(boxes[i]))
        check_resampled({k: v[i] for k, v in out.items()}, image[i], box, size)


def test_the_boxes_of_resized_crop_follow_their_law():
    """The area uniform, the ratio log-uniform, and what does not fit drawn anew; here by rejection in NumPy."""
    draw = jax.jit(jax.vmap(lambda key: geometric._draw_box(key, 200, 250, (0.08, 1.0), (3 / 4, 4 / 3))))
    corners, boxes = (np.asarray(x) for x in draw(jax.random.split(KEY, 5000)))
    assert (corners >= 0).all()
    assert (corners + boxes <= [200, 250]).all()
    rng = np.random.default_rng(0)
    share, ratio = rng.uniform(0.08, 1, 50_000), np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3), 50_000))
    fits = (np.sqrt(50_000 * share * ratio) <= 250) & (np.sqrt(50_000 * share / ratio) <= 200)
    for quantile in (0.1, 0.25, 0.5, 0.75, 0.9):
        assert abs(np.quantile(boxes.prod(-1) / 50_000, quantile) - np.quantile(share[fits], quantile)) < 0.02
        assert abs(np.quantile(boxes[:, 1] / boxes[:, 0], quantile) - np.quantile(ratio[fits], quantile)) < 0.02
    small = (boxes < [150, 180]).all(-1)
    place = (corners[small] + 0.5) / (np.array([200, 250]) - boxes[small] + 1)
    assert abs(place.mean(0) - 0.5).max() < 0.02
    assert abs(place.std(0) - 12**-0.5).max() < 0.02


@pytest.mark.parametrize(('shape', 'box'), [((1, 1), (1, 1)), ((4, 400), (4, 5)), ((400, 4), (5, 4))])
def test_resized_crop_of_an_image_that_fits_no_box(shape, box):
    """The largest centred box whose ratio is allowed, as torchvision and the host's transform have it."""
    corner, size = geometric._draw_box(KEY, *shape, (1.0, 1.0), (3 / 4, 4 / 3))
    assert tuple(np.asarray(size)) == box
    assert tuple(np.asarray(corner)) == ((shape[0] - box[0]) // 2, (shape[1] - box[1]) // 2)


@pytest.mark.parametrize('name', AUGMENTATIONS)
def test_a_batch_is_a_loop_over_its_examples(name):
    """One key, or one for each; alone and without jit; under vmap. What it does not concern passes through."""
    batch = whole_batch()
    before = dict(batch)
    out = jitted[name](KEY, batch)
    assert out.keys() == batch.keys() | {'pixel_area'}  # which a move of boxes counts
    for feature in ('label', 'valid'):
        np.testing.assert_array_equal(out[feature], batch[feature])
    for feature in ('boxes', 'box_valid', 'mask', 'instance_masks'):
        assert out[feature].dtype == batch[feature].dtype

    tolerance = 1e-5 if name in RESAMPLING else 0  # the sums of another program are rounded in another order
    keys = jax.random.split(KEY, N)
    for i in range(3):
        alone = AUGMENTATIONS[name](keys[i : i + 1], {'image': batch['image'][i : i + 1]})
        assert alone.keys() == {'image'}
        np.testing.assert_allclose(alone['image'][0], out['image'][i], atol=tolerance)
    batches_of_one = {feature: x[:, None] for feature, x in batch.items()}
    each = jax.jit(jax.vmap(AUGMENTATIONS[name]))(keys[:, None], batches_of_one)
    for feature in out:
        np.testing.assert_allclose(each[feature][:, 0], out[feature], atol=tolerance)
    assert not np.array_equal(jitted[name](jax.random.key(4), batch)['image'], out['image'])
    assert all(batch[feature] is before[feature] for feature in before)


@pytest.mark.parametrize('name', AUGMENTATIONS)
def test_the_painted_box_stays_where_the_box_is(name):
    """The pixels of the object, in the picture and in its mask, are those inside of the moved box."""
    painted = np.where(inside(BOXES[0])[None, ..., None], 255, np.zeros((N, 1, 1, 3))).astype(np.uint8)
    batch = {**whole_batch(painted), 'mask': jnp.asarray(painted[..., 0] // 255, jnp.int32)}
    out = jax.device_get(jitted[name](KEY, batch))
    height, width = out['image'].shape[1:3]
    rows, columns = np.mgrid[:height, :width] + 0.5
    for i in range(N):
        x1, y1, x2, y2 = out['boxes'][i, 0]
        object_ = (x1 <= columns) & (columns < x2) & (y1 <= rows) & (rows < y2)
        # A pixel whose centre is on the border may fall to either side.
        border = np.minimum.reduce([abs(columns - x1), abs(columns - x2), abs(rows - y1), abs(rows - y2)]) < 1e-3
        assert ((out['mask'][i] == 1) == object_)[~border].all()
        assert (out['instance_masks'][i, 0] == object_)[~border].all()
        assert out['box_valid'][i, 0] == object_.any()
        if name in ('flip', 'flip_vertical', 'crop'):  # nothing comes in from outside
            np.testing.assert_array_equal(out['image'][i, ..., 0] == 255, object_)
    if name in RESAMPLING:
        assert out['image'].dtype == np.float32
        assert 0 <= out['image'].min() <= out['image'].max() <= 1
        assert out['image'].max() > 1 - 1e-6


def test_min_visible():
    """A box 2 pixels wide at the left border, shifted by -1, 0 or 1: half of it may leave."""
    boxes = np.broadcast_to(np.float32([0, 0, 2, 4]), (60, 1, 4))
    batch = {'image': jnp.zeros((60, 4, 8, 1)), 'boxes': jnp.asarray(boxes)}
    loose, strict = (augment.random_crop(KEY, batch, size=(4, 7), min_visible=share) for share in (0.5, 0.6))
    left = np.asarray(loose['boxes'])[:, 0, 2] < 2
    assert 10 < left.sum() < 50
    assert loose['box_valid'].all()
    np.testing.assert_array_equal(strict['box_valid'][:, 0], ~left)
    gone = augment.random_crop(KEY, batch, size=(4, 1))
    np.testing.assert_array_equal(gone['box_valid'][:, 0], area(np.asarray(gone['boxes']))[:, 0] > 0)
    assert not gone['box_valid'].all()


def test_draws_are_uniform():
    """2,000 images of one bright pixel show where it went."""
    images = jnp.zeros((2000, 5, 5, 1)).at[:, 2, 2].set(1)
    landed = augment.random_shift(KEY, {'image': images}, max_shift=2)['image'].sum(axis=(0, 3))
    assert landed.sum() == 2000
    assert (abs(landed - 80) < 5 * np.sqrt(80)).all()
    images = jnp.zeros((2000, 1, 2, 1)).at[:, 0, 0].set(1)
    share = np.mean(augment.random_flip(KEY, {'image': images}, probability=0.2)['image'][:, 0, 1])
    assert abs(share - 0.2) < 5 * np.sqrt(0.2 * 0.8 / 2000)


def test_certain_flip_and_no_shift():
    batch = {'image': NOISE}  # NumPy's arrays do as well
    np.testing.assert_array_equal(augment.random_flip(KEY, batch, probability=1.0)['image'], NOISE[:, :, ::-1])
    np.testing.assert_array_equal(augment.random_flip(KEY, batch, probability=0.0)['image'], NOISE)
    np.testing.assert_array_equal(augment.random_shift(KEY, batch, max_shift=0)['image'], NOISE)
    np.testing.assert_array_equal(augment.random_crop(KEY, batch, size=(H, W))['image'], NOISE)
    as_floats = augment.random_scale_crop(KEY, {'image': NOISE[:, :, :H]}, size=H, scales=(H, H))['image']
    np.testing.assert_allclose(as_floats, NOISE[:, :, :H] / np.float32(255), atol=1e-6)


@pytest.mark.parametrize(
    ('function', 'options', 'message'),
    [
        (augment.random_flip, {'probability': 1.5}, 'probability'),
        (augment.random_shift, {'max_shift': -1}, 'max_shift'),
        (augment.random_shift, {'max_shift': 1, 'fill': 7.0}, 'fill'),
        (augment.random_crop, {'size': 13}, 'does not fit'),
        (augment.random_crop, {'size': 0}, 'size'),
        (augment.random_crop, {'size': 8, 'padding': -1}, 'padding'),
        (augment.random_crop, {'size': 8, 'min_visible': 2.0}, 'min_visible'),
        (augment.random_scale_crop, {'size': 8, 'scales': (7, 9)}, 'scales'),
        (augment.random_scale_crop, {'size': 8, 'scales': (10, 9)}, 'scales'),
        (augment.random_resized_crop, {'size': 8, 'area': (0.5, 0.1)}, 'area'),
        (augment.random_resized_crop, {'size': 8, 'ratio': (0, 1)}, 'ratio'),
    ],
)
def test_bad_arguments(function, options, message):
    with pytest.raises(ValueError, match=message):
        function(KEY, {'image': NOISE}, **options)


def test_a_wrong_number_of_keys():
    with pytest.raises(ValueError, match='24 examples'):
        augment.random_flip(jax.random.split(KEY, 3), {'image': NOISE})
