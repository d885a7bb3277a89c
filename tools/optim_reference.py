"""Write tests/fixtures/optim_reference.npz: the steps of torch's optimizers and schedulers.

    python tools/optim_reference.py

Needs torch (benchmarks/requirements.txt), so it is run by hand and its result is committed. Computed in float64.
The fixture holds a small logistic regression (x, y, kernel, bias and the learning rate of each step), the parameters
after each step of each optimizer, and each scheduler's learning rate (and momentum) at each step.
"""

import functools
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch.optim import SGD, Adagrad, Adam, AdamW, RMSprop
from torch.optim import lr_scheduler as schedulers

FIXTURE = Path(__file__).parent.parent / 'tests' / 'fixtures' / 'optim_reference.npz'
STEPS = 20  # of an optimizer
LENGTH = 60  # of a schedule
PEAK = 0.3

OPTIMIZERS = {
    'sgd': SGD,
    'sgd_l2': functools.partial(SGD, weight_decay=0.1),
    'momentum': functools.partial(SGD, momentum=0.9),
    'momentum_l2': functools.partial(SGD, momentum=0.9, weight_decay=0.1),
    'momentum_dampening': functools.partial(SGD, momentum=0.9, dampening=0.3),
    'nesterov': functools.partial(SGD, momentum=0.9, nesterov=True),
    'adagrad': Adagrad,
    'adagrad_options': functools.partial(
        Adagrad, lr_decay=0.1, initial_accumulator_value=0.2, eps=1e-3, weight_decay=0.1
    ),
    'rmsprop': functools.partial(RMSprop, alpha=0.9),
    'rmsprop_eps': functools.partial(RMSprop, alpha=0.99, eps=1e-2, weight_decay=0.1),
    'rmsprop_centered': functools.partial(RMSprop, alpha=0.9, eps=1e-3, centered=True),
    'rmsprop_momentum': functools.partial(RMSprop, alpha=0.9, eps=1e-3, momentum=0.9),
    'rmsprop_centered_momentum': functools.partial(RMSprop, alpha=0.9, eps=1e-3, centered=True, momentum=0.9),
    'adam': Adam,
    'adam_l2': functools.partial(Adam, weight_decay=0.1, betas=(0.8, 0.99), eps=1e-3),
    'adam_amsgrad': functools.partial(Adam, amsgrad=True, betas=(0.9, 0.9)),
    'adamw': functools.partial(AdamW, weight_decay=0.1),
    'adamw_amsgrad': functools.partial(AdamW, weight_decay=0.1, amsgrad=True, betas=(0.9, 0.9)),
}
ONE_CYCLE = {
    'momentum': functools.partial(SGD, momentum=0.9),
    'nesterov': functools.partial(SGD, momentum=0.9, nesterov=True),
    'rmsprop': functools.partial(RMSprop, alpha=0.9, eps=1e-3, momentum=0.9),
    'adam': Adam,
}

WARMUP, START = 8, 0.1
ONE_CYCLES = {
    'one_cycle_cosine': {},
    'one_cycle_linear': {'anneal_strategy': 'linear', 'pct_start': 0.4},
    'one_cycle_three_phase': {'three_phase': True},
    'one_cycle_three_phase_linear': {'three_phase': True, 'anneal_strategy': 'linear', 'div_factor': 10.0},
}


def warmed_up(after: Callable) -> Callable:
    """Put torch's linear warm-up in front of a scheduler."""
    return lambda optimizer: schedulers.SequentialLR(
        optimizer, [schedulers.LinearLR(optimizer, START, total_iters=WARMUP), after(optimizer)], [WARMUP]
    )


SCHEDULES = {
    'step': lambda o: schedulers.StepLR(o, 13, gamma=0.5),
    'multi_step': lambda o: schedulers.MultiStepLR(o, [10, 25, 40], gamma=0.1),
    'multi_step_warmup': warmed_up(lambda o: schedulers.MultiStepLR(o, [10 - WARMUP, 25 - WARMUP], gamma=0.1)),
    'exponential': lambda o: schedulers.ExponentialLR(o, 0.9),
    'exponential_warmup': warmed_up(lambda o: schedulers.ExponentialLR(o, 0.9)),
    'linear': lambda o: schedulers.LinearLR(o, 1.0, 0.2, total_iters=50),
    'polynomial': lambda o: schedulers.PolynomialLR(o, 50, power=0.9),
    'polynomial_warmup': warmed_up(lambda o: schedulers.PolynomialLR(o, 50 - WARMUP, power=2.0)),
    # CosineAnnealingLR goes up again after its end, so it ends where the series ends.
    'cosine': lambda o: schedulers.CosineAnnealingLR(o, LENGTH, eta_min=0.01),
    'cosine_warmup': warmed_up(lambda o: schedulers.CosineAnnealingLR(o, LENGTH - WARMUP, eta_min=0.01)),
    'constant_warmup': lambda o: schedulers.LinearLR(o, START, total_iters=WARMUP),
    'cosine_restarts_1': lambda o: schedulers.CosineAnnealingWarmRestarts(o, 7, 1, eta_min=0.01),
    'cosine_restarts_2': lambda o: schedulers.CosineAnnealingWarmRestarts(o, 7, 2),
    'cosine_restarts_3': lambda o: schedulers.CosineAnnealingWarmRestarts(o, 4, 3),
} | {name: lambda o, kw=kw: schedulers.OneCycleLR(o, PEAK, LENGTH, **kw) for name, kw in ONE_CYCLES.items()}

PLATEAUS = {
    'plateau': {'factor': 0.5, 'patience': 2},
    'plateau_cooldown': {'factor': 0.1, 'patience': 1, 'cooldown': 3, 'min_lr': 1e-3, 'threshold': 0.05},
}


def problem() -> dict[str, np.ndarray]:
    """Make the logistic regression: three labels that are not exclusive, four features, sixteen examples."""
    rng = np.random.default_rng(0)
    return {
        'x': rng.normal(size=(16, 4)),
        'y': (rng.random((16, 3)) < 0.5).astype(float),
        'kernel': rng.normal(size=(4, 3)),
        'bias': rng.normal(size=3),
        'rates': np.linspace(0.2, 0.02, STEPS),
    }


def trajectory(make: Callable, arrays: dict[str, np.ndarray], one_cycle: bool = False) -> dict[str, np.ndarray]:
    """Run one optimizer; the parameters after each step."""
    x, y = torch.tensor(arrays['x']), torch.tensor(arrays['y'])
    params = {name: torch.tensor(arrays[name], requires_grad=True) for name in ('kernel', 'bias')}
    optimizer = make(list(params.values()), lr=arrays['rates'][0])
    scheduler = schedulers.OneCycleLR(optimizer, arrays['rates'][0], STEPS) if one_cycle else None
    found: dict[str, list] = {name: [] for name in params}
    for rate in arrays['rates']:
        if not one_cycle:
            optimizer.param_groups[0]['lr'] = rate
        optimizer.zero_grad()
        logits = x @ params['kernel'] + params['bias']
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, y, reduction='sum') / len(x)
        loss.backward()
        optimizer.step()
        if scheduler and len(found['bias']) < STEPS - 1:
            scheduler.step()
        for name, value in params.items():
            found[name].append(value.detach().numpy().copy())
    return {name: np.stack(values) for name, values in found.items()}


def rates(make: Callable) -> Iterator[tuple[float, float]]:
    """Yield the learning rate and the momentum at each step of a schedule."""
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=PEAK, momentum=0.9)
    scheduler = make(optimizer)
    for t in range(LENGTH):
        yield optimizer.param_groups[0]['lr'], optimizer.param_groups[0]['momentum']
        optimizer.step()
        if t < LENGTH - 1:
            scheduler.step()


def plateau(losses: np.ndarray, **options: float) -> list[float]:
    """Return the learning rate after each of the losses."""
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=PEAK)
    scheduler = schedulers.ReduceLROnPlateau(optimizer, **options)
    found = []
    for loss in losses:
        scheduler.step(loss)
        found.append(optimizer.param_groups[0]['lr'])
    return found


def main() -> None:
    """Write the fixture."""
    warnings.filterwarnings('ignore', message='The epoch parameter')  # SequentialLR's own call
    arrays = problem()
    found = dict(arrays)
    for name, make in OPTIMIZERS.items():
        found |= {f'optimizer/{name}/{k}': v for k, v in trajectory(make, arrays).items()}
    for name, make in ONE_CYCLE.items():
        found |= {f'one_cycle/{name}/{k}': v for k, v in trajectory(make, arrays, one_cycle=True).items()}
    for name, make in SCHEDULES.items():
        series = np.array(list(rates(make)))
        found[f'schedule/{name}'] = series[:, 0]
        if name in ONE_CYCLES:
            found[f'momentum/{name}'] = series[:, 1]
    rng = np.random.default_rng(1)
    found['losses'] = np.exp(-np.arange(LENGTH) / 10).clip(0.1) + 0.05 * rng.random(LENGTH)
    for name, options in PLATEAUS.items():
        found[f'schedule/{name}'] = np.array(plateau(found['losses'], **options))
    np.savez_compressed(FIXTURE, allow_pickle=False, **found)
    print(f'{FIXTURE}: {len(found)} arrays, {FIXTURE.stat().st_size // 1024} KiB')


if __name__ == '__main__':
    main()
