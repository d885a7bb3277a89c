"""Every test runs on 8 simulated CPU devices, with the shapes and types of jaxcv's signatures checked at each call."""

import collections
import functools
import gc
import inspect
import os
import sys
from pathlib import Path

# Before NumPy. The workers are as many as the cores; a library's threads that wait for another's core spin.
os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
os.environ.setdefault('OMP_NUM_THREADS', '1')

import beartype
import jax
import jaxtyping
from jax._src.interpreters import mlir

from tests import opencv, programs

# Whatever the shell says: each worker, and each command that a test starts, would compile every module anew.
sys.dont_write_bytecode = False
os.environ.pop('PYTHONDONTWRITEBYTECODE', None)

PROGRAMS = Path(__file__).parents[1] / '.pytest_cache' / 'programs'

# Before JAX starts its backend. JAX_PLATFORMS=cuda runs the tests on a GPU instead.
platform = os.environ.get('JAX_PLATFORMS') or 'cpu'
if platform == 'cpu':
    # Most of a test's time is LLVM's optimizing what then runs once; `XLA_FLAGS= make test` tests with it. The old
    # emitters, one module a program, compile a third faster than the new ones; jax 0.12 has the new ones alone, and an
    # unknown flag ends its process.
    quick = [
        '--xla_backend_optimization_level=0',
        '--xla_llvm_disable_expensive_passes=true',
        *['--xla_cpu_use_fusion_emitters=false'] * (jax.__version_info__ < (0, 11)),
        '--xla_cpu_parallel_codegen_split_count=1',
    ]
    os.environ.setdefault('XLA_FLAGS', ' '.join(quick))
jax.config.update('jax_platforms', platform)
jax.config.update('jax_num_cpu_devices', 8)

# Launchers and tests compile the same programs again and again. Only CPUs: an accelerator's programs may differ by the
# state of its autotuner.
if platform == 'cpu':
    programs.share(PROGRAMS)
    os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(PROGRAMS))  # of the commands that a test starts

# Each program, of one addition too, is written in an MLIR context of its own, with where each operation stands in the
# code: a fifth of the time of a small program. One context serves them all; a JAX without this function does as before.
if hasattr(mlir, 'make_ir_context'):
    mlir.make_ir_context = functools.cache(mlir.make_ir_context)
jax.config.update('jax_traceback_in_locations_limit', 0)

# An int is good where a float is asked for, as everywhere in Python.
beartyped = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True, violation_type=jaxtyping.TypeCheckError))
jaxtyped = jaxtyping.jaxtyped


def typecheck(function):
    """The function with its signature checked; one within a function only if it states shapes.

    Such a function is made anew, and wrapped anew, at each call of the outer one: an eighth of a tracing test.
    """
    if 'jaxtyping.' not in str(function.__annotations__):
        return function if '<locals>' in function.__qualname__ else beartyped(function)
    checked = beartyped(function)

    @functools.wraps(function)
    def call(*args, **options):
        __tracebackhide__ = True
        with jaxtyped('context'):  # in which a name is one size
            return checked(*args, **options)

    return call


def hooked(function, *, typechecker):
    """The import hook's decorator, in place of jaxtyping's, which binds and checks a call's arguments twice.

    A generator's body runs after its call, among the sizes of its caller's names: jaxtyping checks it at the call. A
    class whose constructor is `@checked` is left to that, whose message comes first.
    """
    if inspect.isfunction(function) and not inspect.isgeneratorfunction(function):
        return typecheck(function)
    if inspect.isclass(function) and getattr(function.__init__, '__globals__', {}).get('__name__') == 'jaxcv.arguments':
        return function
    return jaxtyped(function, typechecker=typechecker)


jaxtyping.jaxtyped = lambda *, typechecker: functools.partial(hooked, typechecker=typechecker)
jaxtyping.install_import_hook('jaxcv', 'tests.conftest.beartyped')

# Garbage collections walk through all that is imported, collected and traced: they took a sixth of a tracing test.
gc.set_threshold(50_000, 10, 10)


def pytest_collection_modifyitems(items):
    """Leaves out the doctests of cascades where OpenCV has none."""
    opencv.skip_doctests(items)


def pytest_collection_finish():
    """Spares the modules and the tests from the collections to come."""
    gc.collect()
    gc.freeze()


def pytest_sessionstart(session):
    """Keeps the programs of some last runs, in the process that starts the workers."""
    if 'PYTEST_XDIST_WORKER' not in os.environ:
        from jaxcv.files import keep_last_used

        keep_last_used(PROGRAMS, most=2**30)


seconds = collections.Counter()


def pytest_runtest_logreport(report):
    """Adds up the time of each file; the process that starts the workers gets the reports of all."""
    seconds[report.nodeid.partition('::')[0]] += report.duration


def pytest_terminal_summary(terminalreporter):
    """Names the slowest files of a long run: `make test` has a limit."""
    if sum(seconds.values()) > 60:
        slowest = ', '.join(f'{file} {time:.0f} s' for file, time in seconds.most_common(10))
        terminalreporter.write_line(f'slowest files: {slowest}')
