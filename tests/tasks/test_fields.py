"""The tasks of flow and stereo: learning, known pixels, moving weights, and wrong batches."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxcv import losses, models, tasks
from jaxcv.training import init_state, make_train_step

RNG = np.random.default_rng(0)


class Shift(nn.Module):
    """The same displacement everywhere: the smallest network of pairs."""

    components: int

    @nn.compact
    def __call__(self, pairs, *, train=False):
        shift = self.param('shift', nn.initializers.zeros, (self.components,))
        field = jnp.broadcast_to(shift, (*pairs.shape[:3], self.components))
        return field[..., 0] if self.components == 1 else field


def views(n=2, size=(8, 12)):
    images = RNG.random((n, *size, 3)).astype(np.float32)
    return images, np.roll(images, -3, axis=2)


def stereo_batch(**more):
    left, right = views()
    return {'left': left, 'right': right, 'disparity': np.full((2, 8, 12), 3.0, np.float32), **more}


def test_stereo_learns_a_disparity_from_known_pixels():
    """One image has no truth and one is padding: neither counts, whatever their values."""
    left, right = views(4)
    disparity = np.full((4, 8, 12), 3.0, np.float32)
    disparity[0, 0], disparity[1], disparity[2] = np.inf, np.nan, 50
    batch = {'left': left, 'right': right, 'disparity': disparity, 'valid': np.array([True, True, False, True])}
    task = tasks.stereo(Shift(1))
    optimizer = optax.adam(0.3)
    step = jax.jit(make_train_step(task, optimizer))
    state = init_state(jax.random.key(0), task, optimizer, batch)
    output = task.loss(state.params, state.state, batch, jax.random.key(0))
    assert (output.total, output.weight, output.logs['epe']) == (6, 2, 6)
    for _ in range(60):
        state, logs = step(state, batch)
    assert logs['epe'] < 0.3
    predictions = task.predict({'params': state.params}, batch)
    np.testing.assert_allclose(predictions['disparity'], 3, atol=0.3)
    values = task.metrics['errors'].compute(task.metrics['errors'].measure(predictions, batch))
    assert values['epe'] == pytest.approx(abs(float(state.params['shift'][0]) - 3), abs=1e-4)
    assert task.best in task.units


def test_flow_is_of_two_components():
    image, later = views()
    batch = {'image': image, 'next_image': later, 'valid': np.ones(2, bool), 'flow': np.ones((2, 8, 12, 2), np.float32)}
    batch['flow_valid'] = np.zeros((2, 8, 12), bool)
    batch['flow_valid'][0, 0, 0] = True
    task = tasks.flow(Shift(2), loss=functools.partial(losses.multi_scale_flow, weights=(1.0,), scale=1.0))
    variables = task.init(jax.random.key(0), batch)
    output = task.loss(variables['params'], {}, batch, jax.random.key(0))
    np.testing.assert_allclose((output.total, output.weight, output.logs['epe']), (2**0.5, 1, 2**0.5), rtol=1e-6)
    assert task.predict(variables, batch)['flow'].shape == (2, 8, 12, 2)


def test_weights_move_with_the_updates():
    """The count is a part of the state, so a resumed run goes on where it was."""
    model = models.stereo.dispnet(width=0.02)
    left = np.zeros((1, 64, 64, 3), np.float32)
    truth = np.ones((1, 64, 64), np.float32)
    batch = {'left': left, 'right': left, 'disparity': truth, 'valid': np.ones(1, bool)}
    seen = []

    def loss(levels, disparity, valid, *, weights):
        seen.append(len(levels))
        return weights @ jnp.arange(6.0) * jnp.ones(1)

    task = tasks.stereo(model, loss=loss, moving_every=2)
    variables = jax.eval_shape(task.init, jax.random.key(0), batch)
    params = jax.tree.map(lambda x: jnp.zeros(x.shape), variables['params'])
    state = {'updates': {'count': jnp.zeros(())}}
    assert jax.tree.map(jnp.shape, state) == jax.tree.map(jnp.shape, {'updates': variables['updates']})
    apply = jax.jit(task.loss)
    totals = []
    for _ in range(4):
        output = apply(params, state, batch, jax.random.key(0))
        state, totals = output.state, [*totals, float(output.total)]
    assert totals == pytest.approx([0, 0, 2, 2])  # 0.2 * 0 + 1 * 1 + 0.5 * 2
    assert seen == [6]


def test_wrong_batches_and_models():
    valid = np.ones(2, bool)
    task = tasks.stereo(Shift(1))
    with pytest.raises(ValueError, match="stereo needs the 'right' of each image, but the examples have left"):
        task.predict({'params': {'shift': jnp.zeros(1)}}, {'left': views()[0], 'valid': valid})
    with pytest.raises(ValueError, match=r'the model must give disparity \[n h w\], got shape \(2, 8, 12, 2\)'):
        tasks.stereo(Shift(2)).predict({'params': {'shift': jnp.zeros(2)}}, stereo_batch(valid=valid))
    with pytest.raises(ValueError, match=r"flow needs the 'image' of each image, but the examples have disparity"):
        tasks.flow(Shift(2)).predict({'params': {'shift': jnp.zeros(2)}}, stereo_batch(valid=valid))
    visible = tasks.stereo(Shift(1), visible=True)
    predictions = {'disparity': jnp.zeros((2, 8, 12)), 'valid': valid}
    with pytest.raises(ValueError, match="the errors need 'disparity_visible'"):
        visible.metrics['visible_errors'].measure(predictions, stereo_batch(valid=valid))
