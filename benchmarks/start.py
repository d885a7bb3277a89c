"""From the start of a launcher to its first step, cold and warm; and the compile time of train steps.

    python -m benchmarks.start [--rounds=3] [-- --config=digits ...]
    python -m benchmarks.start --steps resnet50 mobilenet_v2 efficientnet_b0 resnext50_32x4d

The first command runs `experiments.train` until the first step has ended, in a process of its own: cold, with an empty
folder of compiled programs, and warm, with those of the cold run. Stages, in seconds: `imports`, from the start of the
process; `data`, the config, the data, and all checks; `state`, its initialization, beside which the step is compiled;
`trace`, `lower` and `compile` of the train step, from JAX's own events; `step`, the first one; `processor`, the seconds
of all cores, which other jobs lengthen less. After `--` stand the launcher's flags.

Measured on 2 idle CPU cores, one round; before (93dc7fa) is before programs were kept, the initialization was compiled
without optimization, and shapes were traced once:

                                   total   processor
    digits, before                  11.5        12.4
    digits, cold                     6.6         9.6
    digits, warm                     3.5         4.0
    resnet50, before                41.3
    resnet50, 8 x 8 pixels, cold    20.8        34.0
    resnet50, 8 x 8 pixels, warm    10.4        14.3

The second one traces, lowers and compiles the train step of classifiers, 8 images of 224 x 224 pixels, without keeping
the programs, and prints the number of operations before and after the compiler. Seconds of the compiler on all cores,
and operations that it is given:

    resnet50          10.6   18,280
    mobilenet_v2      23.3   29,100
    efficientnet_b0   46.2   44,529
"""

import argparse
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxcv.files import read_json, to_json, write_json

RUNS = {
    'digits': ['--config=digits'],
    'resnet50, 8 x 8 pixels': ['--config=digits', '--config.model=resnet50', '--config.data.batch_size=8'],
}
STAGES = ('imports', 'data', 'state', 'trace', 'lower', 'compile', 'step', 'total', 'processor')
EVENTS = {
    '/jax/core/compile/jaxpr_trace_duration': 'trace',
    '/jax/core/compile/jaxpr_to_mlir_module_duration': 'lower',
    '/jax/core/compile/backend_compile_duration': 'compile',
}
BATCH, SIDE = 8, 224


def main() -> int:
    """Measure what is asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--steps', nargs='+', metavar='MODEL', help='compile the train steps of these models instead')
    parser.add_argument('--until_first_step', nargs=2, help=argparse.SUPPRESS)
    parser.add_argument('flags', nargs='*', help='of experiments.train')
    arguments = parser.parse_args()
    if arguments.until_first_step:
        out, began = arguments.until_first_step
        until_first_step(Path(out), float(began), arguments.flags)
    elif arguments.steps:
        for model in arguments.steps:
            print(compiled(model), flush=True)
    else:
        print(f'{"":<30}' + ''.join(f'{stage:>9}' for stage in STAGES))
        for name, flags in ({'given': arguments.flags} if arguments.flags else RUNS).items():
            for words, stages in measured(flags, arguments.rounds).items():
                cells = ''.join(f'{stages[stage]:9.2f}' for stage in STAGES)
                print(f'{name + ", " + words:<30}{cells}', flush=True)
    return 0


def measured(flags: Sequence[str], rounds: int) -> dict[str, dict[str, float]]:
    """{'cold': {stage: seconds}, 'warm': ...}, medians over the rounds."""
    found: dict[str, list[dict[str, float]]] = {'cold': [], 'warm': []}
    for _ in range(rounds):
        folder = Path(tempfile.mkdtemp())
        for words in found:
            found[words].append(started(flags, folder, folder / words))
        shutil.rmtree(folder)
    return {
        words: {stage: statistics.median(one[stage] for one in each) for stage in STAGES}
        for words, each in found.items()
    }


def started(flags: Sequence[str], cache: Path, workdir: Path) -> dict[str, float]:
    """The stages of one run, in a process that keeps its programs in a folder."""
    out = workdir.with_suffix('.json')
    environment = {**os.environ, 'JAXCV_CACHE': str(cache), 'PYTHONDONTWRITEBYTECODE': ''}
    environment.pop('JAX_COMPILATION_CACHE_DIR', None)
    command = [sys.executable, '-m', 'benchmarks.start', '--until_first_step', str(out), str(time.time())]
    ended = subprocess.run(
        [*command, '--', *flags, f'--workdir={workdir}'], env=environment, capture_output=True, text=True
    )
    if not out.exists():
        sys.exit(ended.stdout + ended.stderr)
    return read_json(out)


def until_first_step(out: Path, began: float, flags: Sequence[str]) -> None:
    """Run `experiments.train` until its first step has ended, and write the seconds of the stages."""
    import jax

    from experiments import launch, train
    from jaxcv import training
    from jaxcv.training import performance

    marks = {'imports': time.time()}
    stages: dict[str, float] = {}
    create_state, compile_ahead = training.create_state, performance.compile_ahead

    def creating(*arguments: Any, **options: Any) -> Any:
        marks['data'] = time.time()
        state = jax.block_until_ready(create_state(*arguments, **options))
        marks['state'] = time.time()
        return state

    def compiling(*arguments: Any) -> Any:
        jax.monitoring.register_event_duration_secs_listener(heard)
        return compile_ahead(*arguments)

    def heard(event: str, seconds: float, *, fun_name: str = '', **_: Any) -> None:
        # The step's own is the longest: functions in it are traced too.
        if (stage := EVENTS.get(event)) is not None and 'init' not in fun_name:
            stages[stage] = max(seconds, stages.get(stage, 0.0))

    def running(step: Any, state: Any, batches: Any, *_: Any, **__: Any) -> None:
        start = time.time()
        jax.block_until_ready(step(state, next(iter(batches))))
        end = time.time()
        stages.update(imports=marks['imports'] - began, data=marks['data'] - marks['imports'])
        stages.update(state=marks['state'] - marks['data'], step=end - start, total=end - began)
        stages['processor'] = time.process_time()
        write_json(out, stages)
        os._exit(0)

    training.create_state, performance.compile_ahead, training.run = creating, compiling, running  # type: ignore
    sys.argv = ['experiments.train', *flags]
    launch.launch(train.main, uses=train.USES)


def compiled(name: str) -> str:
    """A line of JSON on the train step of a classifier."""
    import jax
    import numpy as np

    from jaxcv import models, optim, tasks, training

    model = getattr(models, name)(num_classes=1000)
    task, optimizer = tasks.classification(model, num_classes=1000), optim.momentum(learning_rate=0.1)
    batch = {
        'image': jax.ShapeDtypeStruct((BATCH, SIDE, SIDE, 3), np.float32),
        'label': jax.ShapeDtypeStruct((BATCH,), np.int32),
        'valid': jax.ShapeDtypeStruct((BATCH,), np.bool_),
    }
    marks = [time.perf_counter()]
    state = jax.eval_shape(lambda b: training.init_state(jax.random.key(0), task, optimizer, b), batch)
    marks.append(time.perf_counter())
    traced = jax.jit(training.make_train_step(task, optimizer), donate_argnums=0).trace(state, batch)
    marks.append(time.perf_counter())
    lowered = traced.lower()
    marks.append(time.perf_counter())
    processor = time.process_time()
    program = lowered.compile()
    processor = time.process_time() - processor
    marks.append(time.perf_counter())
    seconds = [round(after - before, 2) for before, after in itertools.pairwise(marks)]
    found = dict(zip(('init', 'trace', 'lower', 'compile'), seconds, strict=True))
    operations = lowered.as_text().count(' = '), program.as_text().count(' = ')
    return to_json({'model': name, **found, 'processor': round(processor, 2), 'operations': operations})


if __name__ == '__main__':
    sys.exit(main())
