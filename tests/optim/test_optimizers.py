"""Twenty steps of every optimizer and option against NumPy, from the notes' formulas, and against torch.

Against NumPy in float64, to see the formula, and against torch in float32, as it is used.

The problem is a logistic regression (tools/optim_reference.py): its gradient changes with the parameters, and its
learning rate with the step, so it matters where each stands.
"""

import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcv import optim

FIXTURE = np.load(Path(__file__).parent.parent / 'fixtures' / 'optim_reference.npz')
X, Y, RATES = FIXTURE['x'], FIXTURE['y'], FIXTURE['rates']
START = {name: FIXTURE[name] for name in ('kernel', 'bias')}
STEPS = len(RATES)
BETAS = np.linspace(0.95, 0.5, STEPS + 1)  # a momentum that changes


def rate(t):
    return jnp.asarray(RATES)[t]


def beta(t):
    return jnp.asarray(BETAS)[t]


def gradient(params):
    error = (1 / (1 + np.exp(-(X @ params['kernel'] + params['bias']))) - Y) / len(X)
    return {'kernel': X.T @ error, 'bias': error.sum(0)}


def loss(params):
    logits = jnp.asarray(X) @ params['kernel'] + params['bias']
    return jnp.sum(optax.sigmoid_binary_cross_entropy(logits, jnp.asarray(Y))) / len(X)


def start():
    return jax.tree.map(jnp.asarray, START)


def make_step(optimizer):
    """(params, state) -> (params, state); every optimizer takes the loss, whether or not it wants it."""

    def step(params, state):
        value, grads = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(grads, state, params, value=value)
        return optax.apply_updates(params, updates), state

    return step


def trajectory(optimizer, params):
    """The parameters after each of the steps."""
    step = make_step(optimizer)

    def one(carry, _):
        carry = step(*carry)
        return carry, carry[0]

    return jax.lax.scan(one, (params, optimizer.init(params)), length=STEPS)[1]


# The notes' formulas for one array: (gradient, learning rate, t) -> what is added to the parameters.


def sgd():
    return lambda g, lr, t: -lr * g


def momentum(betas=0.9):
    v, betas = 0.0, np.broadcast_to(betas, STEPS + 1)

    def step(g, lr, t):
        nonlocal v
        v = betas[t] * v - lr * g
        return v

    return step


def nesterov(betas=0.9):
    v, betas = 0.0, np.broadcast_to(betas, STEPS + 1)

    def step(g, lr, t):
        nonlocal v
        old, v = v, betas[t] * v - lr * g
        return -betas[t] * old + (1 + betas[t + 1]) * v

    return step


def momentum_pytorch(betas=0.9, dampening=0.0, look_ahead=False):
    v, betas = 0.0, np.broadcast_to(betas, STEPS + 1)

    def step(g, lr, t):
        nonlocal v
        v = g if t == 0 else betas[t] * v + (1 - dampening) * g
        return -lr * (g + betas[t] * v if look_ahead else v)

    return step


def adagrad(eps=1e-10, initial=0.0):
    s = initial

    def step(g, lr, t):
        nonlocal s
        s = s + g * g
        return -lr / (np.sqrt(s) + eps) * g

    return step


def rmsprop(beta=0.9, eps=1e-8, centered=False, mu=0.0):
    s = m = v = 0.0
    mu = np.broadcast_to(mu, STEPS + 1)

    def step(g, lr, t):
        nonlocal s, m, v
        s, m = beta * s + (1 - beta) * g * g, beta * m + (1 - beta) * g
        v = mu[t] * v + g / (np.sqrt(s - m * m if centered else s) + eps)
        return -lr * v

    return step


def adam(beta1=0.9, beta2=0.999, eps=1e-8, amsgrad=False):
    m = s = highest = 0.0
    beta1 = np.broadcast_to(beta1, STEPS + 1)

    def step(g, lr, t):
        nonlocal m, s, highest
        m, s = beta1[t] * m + (1 - beta1[t]) * g, beta2 * s + (1 - beta2) * g * g
        highest = np.maximum(highest, s)
        debiased = (highest if amsgrad else s) / (1 - beta2 ** (t + 1))
        return -lr / (np.sqrt(debiased) + eps) * m / (1 - beta1[t] ** (t + 1))

    return step


OPTIMIZERS = {  # name: (jaxcv's, options, the formula)
    'sgd': (optim.sgd, {}, sgd),
    'momentum': (optim.momentum, {}, momentum),
    'momentum-decay': (optim.momentum, {'decay': 0.5}, lambda: momentum(0.5)),
    'momentum-schedule': (optim.momentum, {'decay': beta}, lambda: momentum(BETAS)),
    'momentum-pytorch': (optim.momentum, {'form': 'pytorch'}, momentum_pytorch),
    'momentum-dampening': (
        optim.momentum,
        {'form': 'pytorch', 'dampening': 0.3, 'decay': beta},
        lambda: momentum_pytorch(BETAS, dampening=0.3),
    ),
    'nesterov': (optim.nesterov, {}, nesterov),
    'nesterov-schedule': (optim.nesterov, {'decay': beta}, lambda: nesterov(BETAS)),
    'nesterov-pytorch': (optim.nesterov, {'form': 'pytorch'}, lambda: momentum_pytorch(look_ahead=True)),
    'nesterov-pytorch-schedule': (
        optim.nesterov,
        {'form': 'pytorch', 'decay': beta},
        lambda: momentum_pytorch(BETAS, look_ahead=True),
    ),
    'adagrad': (optim.adagrad, {}, adagrad),
    'adagrad-options': (
        optim.adagrad,
        {'eps': 0.1, 'initial': 0.2, 'rate_decay': 0.1},
        lambda: adagrad(0.1, 0.2),
    ),
    'rmsprop': (optim.rmsprop, {}, rmsprop),
    'rmsprop-options': (optim.rmsprop, {'decay': 0.5, 'eps': 0.1}, lambda: rmsprop(0.5, 0.1)),
    'rmsprop-centered': (optim.rmsprop, {'centered': True, 'eps': 0.1}, lambda: rmsprop(eps=0.1, centered=True)),
    'rmsprop-momentum': (optim.rmsprop, {'momentum': 0.8, 'eps': 0.1}, lambda: rmsprop(eps=0.1, mu=0.8)),
    'rmsprop-momentum-schedule': (
        optim.rmsprop,
        {'momentum': beta, 'eps': 0.1, 'centered': True},
        lambda: rmsprop(eps=0.1, mu=BETAS, centered=True),
    ),
    'adam': (optim.adam, {}, adam),
    'adam-options': (optim.adam, {'beta1': 0.5, 'beta2': 0.9, 'eps': 0.1}, lambda: adam(0.5, 0.9, 0.1)),
    'adam-schedule': (optim.adam, {'beta1': beta}, lambda: adam(BETAS)),
    'adam-amsgrad': (optim.adam, {'amsgrad': True, 'beta2': 0.8}, lambda: adam(beta2=0.8, amsgrad=True)),
}
OPTIONS = {
    'none': {},
    'penalties': {'weight_decay': 0.1, 'l1': 0.02},
    'decoupled': {'weight_decay': 0.1, 'decoupled': True},
    'all': {'weight_decay': 0.1, 'l1': 0.02, 'penalize': 'all', 'clip_norm': 0.2},
    'all-decoupled': {'weight_decay': 0.1, 'l1': 0.02, 'penalize': 'all', 'clip_norm': 0.2, 'decoupled': True},
}


def numpy_trajectory(
    formula, rates, *, weight_decay=0.0, l1=0.0, decoupled=False, penalize='weights', clip_norm=np.inf
):
    params, steps = dict(START), {name: formula() for name in START}
    found = {name: [] for name in START}
    for t, lr in enumerate(rates):
        grads = gradient(params)
        norm = np.sqrt(sum((g**2).sum() for g in grads.values()))
        for name, w in params.items():
            penalized = float(name == 'kernel' or penalize == 'all')
            g = grads[name] * min(1, clip_norm / norm) + penalized * l1 * np.sign(w)
            if decoupled:
                params[name] = w + steps[name](g, lr, t) - penalized * lr * weight_decay * w
            else:
                params[name] = w + steps[name](g + penalized * weight_decay * w, lr, t)
            found[name].append(params[name])
    return {name: np.stack(values) for name, values in found.items()}


def assert_close(found, expected, **tolerance):
    for name in START:
        np.testing.assert_allclose(found[name], expected[name], err_msg=name, **tolerance)


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_twenty_steps_equal_numpy(name):
    factory, own, formula = OPTIMIZERS[name]
    with jax.enable_x64(True):
        optimizers = {which: factory(learning_rate=rate, **own, **more) for which, more in OPTIONS.items()}
        found = jax.jit(lambda params: {which: trajectory(o, params) for which, o in optimizers.items()})(start())
    rates = RATES / (1 + own.get('rate_decay', 0) * np.arange(STEPS))
    for which, more in OPTIONS.items():
        assert_close(found[which], numpy_trajectory(formula, rates, **more), rtol=1e-9, atol=1e-9)


def test_adamw_is_adam_with_decoupled_weight_decay_of_one_percent():
    with jax.enable_x64(True):
        found = jax.jit(lambda params: trajectory(optim.adamw(learning_rate=rate), params))(start())
    assert_close(found, numpy_trajectory(adam, RATES, weight_decay=0.01, decoupled=True), rtol=1e-9, atol=1e-9)


def test_nesterov_keeps_the_look_ahead_point():
    """The notes' own two lines, the gradient at θ + β v: our parameters are θ + β v, where β is the next one's."""
    theta, velocity = dict(START), dict.fromkeys(START, 0.0)
    expected = {name: [] for name in START}
    for t, lr in enumerate(RATES):
        grads = gradient({name: theta[name] + BETAS[t] * velocity[name] for name in START})
        for name in START:
            velocity[name] = BETAS[t] * velocity[name] - lr * grads[name]
            theta[name] = theta[name] + velocity[name]
            expected[name].append(theta[name] + BETAS[t + 1] * velocity[name])
    with jax.enable_x64(True):
        found = jax.jit(lambda params: trajectory(optim.nesterov(learning_rate=rate, decay=beta), params))(start())
    assert_close(found, expected, rtol=1e-9, atol=1e-9)


ALL = {'penalize': 'all'}  # torch penalizes biases too
TORCH = {
    'sgd': (optim.sgd, {}),
    'sgd_l2': (optim.sgd, {'weight_decay': 0.1, **ALL}),
    'momentum': (optim.momentum, {'form': 'pytorch'}),
    'momentum_l2': (optim.momentum, {'form': 'pytorch', 'weight_decay': 0.1, **ALL}),
    'momentum_dampening': (optim.momentum, {'form': 'pytorch', 'dampening': 0.3}),
    'nesterov': (optim.nesterov, {'form': 'pytorch'}),
    'adagrad': (optim.adagrad, {}),
    'adagrad_options': (optim.adagrad, {'rate_decay': 0.1, 'initial': 0.2, 'eps': 1e-3, 'weight_decay': 0.1, **ALL}),
    'rmsprop': (optim.rmsprop, {}),
    'rmsprop_eps': (optim.rmsprop, {'decay': 0.99, 'eps': 1e-2, 'weight_decay': 0.1, **ALL}),
    'rmsprop_centered': (optim.rmsprop, {'eps': 1e-3, 'centered': True}),
    'rmsprop_momentum': (optim.rmsprop, {'eps': 1e-3, 'momentum': 0.9}),
    'rmsprop_centered_momentum': (optim.rmsprop, {'eps': 1e-3, 'centered': True, 'momentum': 0.9}),
    'adam': (optim.adam, {}),
    'adam_l2': (optim.adam, {'weight_decay': 0.1, 'beta1': 0.8, 'beta2': 0.99, 'eps': 1e-3, **ALL}),
    'adam_amsgrad': (optim.adam, {'amsgrad': True, 'beta2': 0.9}),
    'adamw': (optim.adamw, {'weight_decay': 0.1, **ALL}),
    'adamw_amsgrad': (optim.adamw, {'weight_decay': 0.1, 'amsgrad': True, 'beta2': 0.9, **ALL}),
}
CYCLE, CYCLED = optim.one_cycle(peak=RATES[0], total_steps=STEPS), optim.one_cycle_momentum(total_steps=STEPS)
TORCH_ONE_CYCLE = {
    'momentum': (optim.momentum, {'form': 'pytorch', 'decay': CYCLED}),
    'nesterov': (optim.nesterov, {'form': 'pytorch', 'decay': CYCLED}),
    'rmsprop': (optim.rmsprop, {'eps': 1e-3, 'momentum': CYCLED}),
    'adam': (optim.adam, {'beta1': CYCLED}),
}


@pytest.mark.parametrize('family', ['sgd', 'momentum', 'nesterov', 'adagrad', 'rmsprop', 'adam'])
def test_twenty_steps_equal_torch(family):
    cases = {f'optimizer/{k}': make(learning_rate=rate, **options) for k, (make, options) in TORCH.items()}
    cases |= {f'one_cycle/{k}': make(learning_rate=CYCLE, **o) for k, (make, o) in TORCH_ONE_CYCLE.items()}
    assert {name for name in FIXTURE if name.endswith('/kernel')} == {f'{name}/kernel' for name in cases}
    cases = {name: optimizer for name, optimizer in cases.items() if name.split('/')[1].startswith(family)}
    found = jax.jit(lambda params: {name: trajectory(o, params) for name, o in cases.items()})(start())
    # In float32: RMSprop and Adam divide by the root of small squares, which enlarges the rounding.
    tolerance = {'adam': 5e-5, 'rmsprop': 5e-6}.get(family, 1e-6)
    for name in cases:
        expected = {k: FIXTURE[f'{name}/{k}'] for k in START}
        assert_close(found[name], expected, rtol=tolerance, atol=tolerance)


SCHEDULES = {
    'constant': 0.1,
    'cosine_restarts': optim.cosine_restarts(peak=0.1, period=3, growth=2),
    'one_cycle': optim.one_cycle(peak=0.1, total_steps=10),
    'plateau': optim.reduce_on_plateau(peak=0.1, window=2, patience=0, threshold=0.5, warmup_steps=2),
}


@pytest.mark.parametrize('schedule', SCHEDULES)
@pytest.mark.parametrize(
    'name',
    [
        'sgd',
        'momentum-schedule',
        'momentum-dampening',
        'nesterov-schedule',
        'adagrad-options',
        'rmsprop-momentum-schedule',
        'adam-schedule',
        'adam-amsgrad',
    ],
)
def test_resumed_is_bit_identical(name, schedule):
    """Saved and restored in mid-cycle; the state is arrays, and keeps its shapes and types."""
    factory, own, _ = OPTIMIZERS[name]
    optimizer = factory(learning_rate=SCHEDULES[schedule], weight_decay=0.1, decoupled=True, l1=0.01, **own)
    step, params = jax.jit(make_step(optimizer)), start()
    begin = (params, optimizer.init(params))
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(begin))
    assert jax.tree.map(jax.typeof, begin) == jax.tree.map(jax.typeof, step(*begin))

    def run(carry, steps):
        for _ in range(steps):
            carry = step(*carry)
        return carry

    whole, half = run(begin, 10), run(begin, 5)
    resumed = run(jax.device_put(jax.device_get(half)), 5)
    jax.tree.map(np.testing.assert_array_equal, whole, resumed)
    assert np.all(np.isfinite(whole[0]['kernel']))
    assert np.any(whole[0]['kernel'] != half[0]['kernel'])


@pytest.mark.parametrize('name', ['nesterov-schedule', 'rmsprop-momentum-schedule', 'adam-amsgrad'])
def test_vmapped_members_run_as_alone(name):
    factory, own, _ = OPTIMIZERS[name]
    plateau = optim.reduce_on_plateau(peak=0.1, window=2, patience=0, threshold=0.2)
    optimizer = factory(learning_rate=plateau, l1=0.01, **own)
    members = jax.tree.map(lambda p: jnp.stack([p, -p, 2 * p]), start())
    together = jax.jit(jax.vmap(lambda params: trajectory(optimizer, params)))(members)
    alone = jax.jit(lambda params: trajectory(optimizer, params))(jax.tree.map(lambda p: p[2], members))
    assert_close(jax.tree.map(lambda p: p[2], together), alone, rtol=1e-4, atol=1e-4)


def test_a_constant_gradient_is_no_division_by_the_root_of_less_than_nothing():
    """The variance of a constant gradient is 0 but for rounding, which may make it negative."""
    optimizer = optim.rmsprop(learning_rate=1e-3, centered=True, eps=1e-3)
    grads = jnp.linspace(0.1, 3.0, 50)

    def one(state, _):
        updates, state = optimizer.update(grads, state)
        return state, updates

    updates = jax.lax.scan(one, optimizer.init(grads), length=300)[1]
    assert np.all(np.isfinite(updates))


OUT_OF_RANGE = [
    (lambda: optim.adam(learning_rate=0.1, beta1=1.0), r'adam: beta1 must be in \[0, 1\), got 1.0$'),
    (lambda: optim.adamw(learning_rate=0.1, beta2=1, eps=-1), r'adamw: beta2 must .* got 1; eps must be in \(0, inf\)'),
    (lambda: optim.momentum(learning_rate=0.1, decay=1.5), r'decay must be in \[0, 1\), got 1.5'),
    (lambda: optim.nesterov(learning_rate=0.1, decay=True), r'decay must be a number .* got True'),
    (lambda: optim.momentum(learning_rate=0.1, dampening=1, form='pytorch'), r'dampening must be in \[0, 1\), got 1'),
    (lambda: optim.rmsprop(learning_rate=0.1, decay=-0.1, momentum=1), r'decay must .*; momentum must be in \[0, 1\)'),
    (
        lambda: optim.adagrad(learning_rate=0.1, initial=-1, rate_decay=-1),
        r'initial must .*; rate_decay must be in',
    ),
    *(
        (lambda rate=rate: optim.sgd(learning_rate=rate), r'sgd: learning_rate must be in \(0, inf\), got')
        for rate in (0, -0.1, math.inf, math.nan)
    ),
    (lambda: optim.sgd(learning_rate='0.1'), "learning_rate must be a number in .*, got '0.1'"),
    (lambda: optim.sgd(learning_rate=0.1, weight_decay=-1, l1=-1), r'weight_decay must be in \[0, inf\), .*; l1 must'),
    (lambda: optim.sgd(learning_rate=0.1, clip_norm=0), r'clip_norm must be .*\(0, inf\).* got 0'),
    (
        lambda: optim.sgd(learning_rate=0.1, penalize='al'),
        "penalize must be 'weights' or 'all', got 'al', did you",
    ),
    (
        lambda: optim.nesterov(learning_rate=0.1, form='torch'),
        "form must be 'notes' or 'pytorch', got 'torch'",
    ),
]


def test_what_cannot_be_is_said():
    with pytest.raises(ValueError, match="is for form='pytorch'"):
        optim.momentum(learning_rate=0.1, dampening=0.1)
    for make, message in OUT_OF_RANGE:
        with pytest.raises(ValueError, match=message):
            make()
    grads = {'w': jnp.ones((2, 2))}
    for options in ({'weight_decay': 0.1}, {'weight_decay': 0.1, 'decoupled': True}, {'l1': 0.1}):
        optimizer = optim.sgd(learning_rate=0.1, **options)
        with pytest.raises(ValueError, match=r'params|parameters'):
            optimizer.update(grads, optimizer.init(grads))
