"""Training of a cascade on windows with a dark upper half, among random photos."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv.classical import cascade, cascade_training, haar, haar_enumeration, photo_windows
from jaxcv.classical.cascade_training import Goals

SIDE = 8
KEY = jax.random.key(0)
GOALS = Goals(detection=0.9, false_positives=0.4, overall=1e-3, stages=3, stumps=6)
OPTIONS = {'goals': GOALS, 'negatives': 90}
train = cascade_training.train


def blurred(rng, *shape):
    """Random spots of about three pixels."""
    noise = rng.normal(size=shape)
    for axis in (-1, -2):
        noise = noise + np.roll(noise, 1, axis) + np.roll(noise, 2, axis)
    return noise


@pytest.fixture(scope='module')
def given():
    """48 faces, dark above and bright below with a mouth; 24 held out; two photos of spots."""
    rng = np.random.default_rng(0)
    pattern = np.where(np.arange(SIDE)[:, None] < 4, -20, 20) + np.zeros((SIDE, SIDE))
    pattern[6, 2:6] = -20
    faces = np.clip(128 + pattern + 8 * blurred(rng, 72, SIDE, SIDE), 0, 255).astype(np.uint8)
    photos = [np.clip(128 + 14 * blurred(rng, 50, side), 0, 255).astype(np.uint8) for side in (40, 64)]
    features = haar_enumeration.all_features(width=SIDE, height=SIDE, step=2)
    return faces[:48], faces[48:], photos, features


class Interrupted(Exception):
    """The end of a process."""


@pytest.fixture(scope='module')
def trained(given):
    seen = []
    return train(KEY, *given, **OPTIONS, report=seen.append), seen


def test_stages_reach_their_goals(given, trained):
    result, seen = trained
    faces, held_out, photos, _ = given
    assert 2 <= len(result.stages) <= 3
    assert 'windows of the photos pass' in result.reason
    before = 1.0
    for number, stage in enumerate(result.stages):
        assert stage.detection >= GOALS.detection * before - 1e-9
        assert stage.false_positives <= GOALS.false_positives or len(stage.feature) == GOALS.stumps
        before = stage.detection
        of_stage = [progress for progress in seen if progress.stage == number]
        assert [progress.stumps for progress in of_stage[:-1]] == list(range(1, len(stage.feature) + 1))
        assert of_stage[-1].windows == stage.windows
        assert of_stage[-1].false_positives == stage.false_positives
    counts = [result.windows, *(stage.windows for stage in result.stages)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] < 0.05 * counts[0]

    # The same by the functions of a finished cascade.
    windows = photo_windows.photo_windows(photos, width=SIDE, height=SIDE)
    assert [len(left) for left in photo_windows.surviving(windows, result.cascade)] == counts
    some = np.arange(0, len(windows.corner), 17)
    everything = jnp.asarray(np.concatenate([held_out, faces, photo_windows.crops(windows, some)]))
    passed = np.asarray(jax.jit(lambda part: cascade.score_windows(part, result.cascade).passed)(everything))
    last = len(result.stages)
    assert np.mean(passed[:24] == last) == result.stages[-1].detection
    assert np.mean(passed[24:72] == last) > 0.7
    expected = np.isin(some, photo_windows.surviving(windows, result.cascade)[1])
    assert np.mean((passed[72:] >= 1) == expected) > 0.995  # scales differ in their last digits


def test_an_interrupted_training_ends_with_the_same_cascade(given, trained, tmp_path):
    def stop(progress):
        if progress.stage == 1:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(KEY, *given, **OPTIONS, folder=tmp_path, report=stop)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['stage_000.npz', 'training.json']
    seen = []
    resumed = train(KEY, *given, **OPTIONS, folder=tmp_path, report=seen.append)
    assert seen[0].stage == 1
    jax.tree.map(np.testing.assert_array_equal, resumed.cascade, trained[0].cascade)
    assert resumed.reason == trained[0].reason
    for one, other in zip(resumed.stages, trained[0].stages, strict=True):
        jax.tree.map(np.testing.assert_array_equal, one._replace(seconds=0), other._replace(seconds=0))

    finished = train(KEY, *given, **OPTIONS, folder=tmp_path, report=stop)  # nothing is left to train
    assert len(finished.stages) == len(resumed.stages)
    with pytest.raises(ValueError, match=r'other options: negatives 90, now 60; other faces; other key; give another'):
        train(jax.random.key(1), given[0][1:], *given[1:], goals=GOALS, negatives=60, folder=tmp_path)
    (tmp_path / 'stage_001.npz').write_bytes(b'PK')
    with pytest.raises(ValueError, match=r'stage_001.npz is no stage of a cascade: remove it'):
        train(KEY, *given, **OPTIONS, folder=tmp_path)


def test_windows_of_photos(given):
    """Integral images, places and crops agree; flat windows are left out."""
    rng = np.random.default_rng(1)
    photo = rng.integers(0, 256, (30, 37), np.uint8)
    photo[:12, :12] = 77
    windows = photo_windows.photo_windows([given[2][0], photo], width=SIDE, height=6, scale_factor=1.5)
    assert windows.images[:, 1:3].tolist()[-4:] == [[30, 37], [20, 25], [13, 16], [9, 11]]
    chosen = np.sort(rng.choice(len(windows.corner), 200, replace=False))
    cut = photo_windows.crops(windows, chosen)
    np.testing.assert_array_equal(windows.scale[chosen], photo_windows.contrast_scales(cut))
    np.testing.assert_allclose(windows.scale[chosen], jax.jit(haar.window_scales)(cut), rtol=1e-4)
    assert (windows.scale > 0).all()
    where = photo_windows.places(windows, chosen)
    own = (where[:, 0] == 1) & (where[:, 3] - where[:, 1] == SIDE)
    for (_, x1, y1, x2, y2), window in zip(where[own], cut[own], strict=True):
        np.testing.assert_array_equal(photo[y1:y2, x1:x2], window)
        assert not (photo[y1 + 1 : y2 - 1, x1 + 1 : x2 - 1] == 77).all()
    assert (where[:, 1:3] >= 0).all()
    assert (where[where[:, 0] == 1, 3:] <= [37, 30]).all()
    features = haar_enumeration.all_features(width=SIDE, height=6, step=3)
    corners = haar_enumeration.corners_of(features, width=SIDE, height=6)
    one = photo_windows.Corners(corners.place[7:8], corners.weight[7:8])
    stumps = photo_windows.Stumps(one, np.zeros(1, np.float32), np.array([[2, 0.5]], np.float32))
    of_feature = haar_enumeration.select(features, np.array([7]))
    value = np.asarray(jax.jit(lambda part: haar.feature_values(part, of_feature))(cut))[:, 0]
    np.testing.assert_array_equal(photo_windows.stump_sums(windows, chosen, stumps), np.where(value < 0, 2, 0.5))


def test_everything_is_checked_before_the_training(given):
    faces, held_out, photos, features = given
    check = inspect.unwrap(train)
    flat = held_out.copy()
    flat[5] = 100
    with pytest.raises(ValueError, match=r'faces must be at least 10, got 3; 1 of 24 held_out are flat'):
        check(KEY, faces[:3], flat, photos, features)
    with pytest.raises(ValueError, match=r'held_out must be uint8 .*got float32'):
        check(KEY, faces, held_out.astype(np.float32), photos, features)
    with pytest.raises(ValueError, match=r'held_out must have the size of faces, \(8, 8\), got \(8, 7\)'):
        check(KEY, faces, held_out[:, :, :-1], photos, features)
    with pytest.raises(
        ValueError, match=r'photos must be uint8 .* got uint8 \(50, 40, 1\) for photo 0, uint8 \(4, 4\)'
    ):
        check(KEY, faces, held_out, [photos[0][..., None], photos[0][:4, :4]], features)
    with pytest.raises(ValueError, match='got none'):
        check(KEY, faces, held_out, [], features)
    with pytest.raises(ValueError, match=r'the photos have [\d,]+ windows of 8 x 8 .* fewer than the 99,999 negatives'):
        check(KEY, faces, held_out, photos, features, negatives=99_999)
    with pytest.raises(ValueError, match='a feature leaves the window'):
        check(KEY, faces, held_out, photos, haar_enumeration.all_features(width=9, height=9))
    with pytest.raises(ValueError, match=r'detection must be in \(0, 1\], got 0'):
        Goals(detection=0.0)
