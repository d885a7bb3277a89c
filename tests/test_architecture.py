"""Imports go one way, and nothing heavy comes along with them."""

import ast
import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jaxcv.extras import EXTRAS

ROOT = Path(__file__).parent.parent

BASE = {'types', 'task', 'features', 'moves', 'sizes', 'paths', 'names', 'files', 'arguments', 'extras'}
BLOCKS = {'nn', 'losses', 'metrics', 'augment', 'classical'}
MAY_IMPORT = {
    '': set(),  # jaxcv/__init__.py
    'features': set(),
    'moves': {'features'},
    'types': {'features'},
    'task': {'types', 'features', 'arguments'},
    'paths': {'types'},
    'names': set(),
    'sizes': {'arguments'},
    'files': set(),
    'extras': set(),
    'arguments': {'names'},
    'config': {'names', 'files', 'arguments'},
    'ops': BASE,
    **{block: BASE | {'ops'} for block in BLOCKS},
    'models': BASE | BLOCKS | {'ops'},
    'metrics': BASE | {'ops', 'losses'},  # a metric may be the mean of a loss
    'presentation': BASE | {'ops', 'viz', 'classical'},  # embeddings are shown by whom they are nearest to
    'tasks': BASE | BLOCKS | {'ops', 'models', 'presentation'},
    'weights': BASE | BLOCKS | {'ops', 'models'},
    'faces': BASE | {'ops', 'classical', 'models', 'weights'},
    **{apart: BASE | {'config'} for apart in ('data', 'optim', 'training', 'viz')},
    'data': BASE | {'config', 'classical'},  # a transform may search an image for regions
}
CONFIG_IS_MADE_OF = {'beartype', 'ml_collections'}

FOUND = [path for folder in ('jaxcv', 'experiments') for path in (ROOT / folder).rglob('*.py')]
FILES = sorted(path for path in FOUND if 'build' not in path.relative_to(ROOT).parts)  # where wheels are made
HEAVY = ('tensorflow', 'tensorflow_datasets', 'grain')
# tfds finds a data set by importing its builder: it is never imported to read.
BUILDERS = '*_dataset_builder.py'


@functools.cache
def parsed(path):
    """The syntax tree of a file."""
    return ast.parse(path.read_text())


def imports(path, *, top_level=False):
    """The absolute names of all modules that a file imports, `from a import b` as `a.b`."""
    tree = parsed(path)
    package = path.relative_to(ROOT).with_suffix('').parts[:-1]
    inside = set()
    for node in ast.walk(tree) if top_level else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and id(node) not in inside:
            inside |= {id(child) for child in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in inside:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = '.'.join((*above, *([node.module] if node.module else [])))
            yield from (f'{module}.{alias.name}' for alias in node.names)


def part(path):
    """'losses' for jaxcv/losses/classification.py, 'types' for jaxcv/types.py."""
    name = path.relative_to(ROOT / 'jaxcv').parts[0].removesuffix('.py')
    return '' if name == '__init__' else name


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path):
    if path.relative_to(ROOT).parts[0] == 'experiments':
        assert not any(name.split('.')[0] in ('tests', 'tools', 'benchmarks') for name in imports(path))
        return
    own = part(path)
    assert own in MAY_IMPORT, f'{own} is no part of the house: see DESIGN.md'
    for name in imports(path):
        first, *rest = name.split('.')
        assert first not in ('experiments', 'tests', 'tools', 'benchmarks', 'torch', 'torchvision'), name
        if first == 'jaxcv' and rest:
            assert rest[0] in MAY_IMPORT[own] | {own, '__version__'}, f'{own} must not import {name}'
        if own == 'config' and first != 'jaxcv':
            assert first in sys.stdlib_module_names | CONFIG_IS_MADE_OF, f'config must not import {name}'
        if own not in ('nn', 'models'):
            assert not name.startswith('flax.linen'), 'Linen stays within nn and models'
        assert not name.startswith('matplotlib.pyplot'), 'pyplot is global state: matplotlib.figure.Figure is not'


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_imports_are_inside_functions(path):
    if path.match(BUILDERS):
        return
    heavy = {name for name in imports(path, top_level=True) if name.split('.')[0] in HEAVY}
    assert not heavy, f'import {heavy} where it is used'


KINDS = {
    *('label', 'labels', 'mask', 'masks', 'class_iou', 'boxes', 'box_labels', 'instance_masks', 'disparity', 'flow'),
    *('classification', 'segmentation', 'detection', 'embedding', 'stereo', 'probabilities', 'confusion'),
    *('top1', 'top5', 'accuracy', 'pixel_accuracy', 'mean_iou', 'boundary_f_score'),
    *('multi_label', 'mean_average_precision', 'log_odds', 'micro_f1'),
}
"""Names of features, tasks, predictions and metrics that belong to one kind of task."""

GENERAL = [
    *(ROOT / 'experiments').glob('*.py'),
    # `earlier` translates the configs of a version that had a field for one feature.
    *(path for path in (ROOT / 'experiments' / 'run').rglob('*.py') if path.name != 'earlier.py'),
    *(ROOT / 'jaxcv' / 'training').rglob('*.py'),
    *(ROOT / 'jaxcv' / 'data' / f'{name}.py' for name in ('pipeline', 'reading', 'prefetch', 'orders')),
]


@pytest.mark.parametrize('path', GENERAL, ids=lambda path: str(path.relative_to(ROOT)))
def test_general_code_names_no_kind_of_task(path):
    """Launchers, their `run`, training and the pipeline serve all tasks: tasks and presentations say what differs."""
    tree = parsed(path)
    texts = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    found = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in texts
    }
    assert not found & KINDS


def test_only_mains_read_flags():
    """What a function of `run` depends on is among its arguments."""
    for path in (ROOT / 'experiments' / 'run').rglob('*.py'):
        modules = {name.split('.')[0] for name in imports(path)} | set(imports(path))
        assert not modules & {'absl.flags', 'absl.app', 'experiments.launch'}, path


ALONE = """
import importlib, pkgutil, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in BLOCKED:
            raise ImportError(f'{name} is blocked')

BLOCKED = sys.argv[1].split(',')
sys.meta_path.insert(0, Blocked())
import jaxcv
names = [m.name for m in pkgutil.walk_packages(jaxcv.__path__, 'jaxcv.') if not m.name.endswith('_dataset_builder')]
names = [name for name in names if not name.startswith('jaxcv.viz.')]  # all of which draw, with matplotlib
assert len(names) > 5, names
loaded = {}
for name in names:  # each as the first of all: no import may rely on another before it
    with_package = loaded.get(name.rpartition('.')[0], ())
    if name in with_package:  # to import it is to import its package, which imports it: that has been tried
        loaded[name] = with_package
        continue
    for before in [module for module in sys.modules if module.split('.')[0] == 'jaxcv']:
        del sys.modules[before]
    importlib.import_module(name)
    loaded[name] = {module for module in sys.modules if module.split('.')[0] == 'jaxcv'}

import jax
jax.config.update('jax_num_cpu_devices', 3)  # an error once a backend runs: an import must not start one
print(jax.device_count('cpu'))

from jaxcv import losses, models, optim, tasks, training
task = tasks.classification(models.linear_classifier(num_classes=2), num_classes=2, loss=losses.softmax_cross_entropy)
batch = {'image': jax.numpy.ones((2, 4, 4, 3)), 'label': jax.numpy.arange(2), 'valid': jax.numpy.ones(2, bool)}
optimizer = optim.momentum(learning_rate=0.1)
state = training.init_state(jax.random.key(0), task, optimizer, batch)
state, logs = training.make_train_step(task, optimizer)(state, batch)
print(int(state.step))
"""


def test_each_module_imports_alone_and_a_train_step_runs_without_the_extras():
    """Not even `jaxcv.data` needs them to be imported, and no import starts a device."""
    blocked = [*HEAVY, 'torch', *EXTRAS]
    command = [sys.executable, '-W', 'error', '-c', ALONE, ','.join(blocked)]
    # Kept programs are read by way of tensorflow, where it is installed.
    alone = {**os.environ, 'JAX_ENABLE_COMPILATION_CACHE': 'false'}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=alone)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-2:] == ['3', '1']
