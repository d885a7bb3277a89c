"""The two journeys of a newcomer, from the wheels: photos to an exported model, and an idea of one's own by --use.

The wheels are built from a copy of this tree and installed by pip into a fresh environment, which resolves what
`jaxcv[launch]` requires. So that nothing is downloaded, that environment sees the packages of the one that runs the
tests, by a .pth file; jaxcv and experiments are its own, which is asserted.
"""

import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from jaxcv.files import read_json

ROOT = Path(__file__).parents[2]
JOURNEYS = ROOT / 'tests' / 'journeys'
PACKAGES = {'jaxcv': 'jaxcv', 'experiments': 'jaxcv_experiments'}
"""Package -> how the name of its wheel begins."""
MADE = ('build', '*.egg-info', '__pycache__')
OURS = 'import jaxcv, experiments; print(jaxcv.__file__, experiments.__file__)'

pytestmark = pytest.mark.slow


class Installed(NamedTuple):
    """A fresh environment, and the wheels that are installed in it."""

    python: Path
    wheels: dict[str, Path]


def run(command, folder, **variables):
    """What a command prints; its output is shown if it fails."""
    started = time.monotonic()
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    environment |= {'JAX_PLATFORMS': 'cpu', 'PIP_DISABLE_PIP_VERSION_CHECK': '1', **variables}
    ended = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(f'{" ".join(map(str, command))}: {time.monotonic() - started:.0f} s\n{ended.stdout}')
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    """The wheels of both distributions, in a fresh environment."""
    folder = tmp_path_factory.mktemp('installed')
    source, fresh, wheels = folder / 'source', folder / 'fresh', folder / 'wheels'
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns(*MADE))
    for name in ('setup.cfg', 'pyproject.toml', 'README.md', 'LICENSE'):
        shutil.copy(ROOT / name, source)
    run([sys.executable, '-m', 'venv', '--without-pip', fresh], folder)
    python = fresh / 'bin' / 'python'
    own = Path(run([python, '-c', "import sysconfig; print(sysconfig.get_path('purelib'))"], folder).strip())
    others = [path for path in sys.path if Path(path).name in ('site-packages', 'dist-packages')]
    (own / 'dependencies.pth').write_text('\n'.join(others))
    build = ['wheel', '--no-deps', '--no-index', '--no-build-isolation', '--wheel-dir', wheels]
    pip = [sys.executable, '-m', 'pip']
    run([*pip, *build, '.', './experiments'], source)
    built = {path.name.partition('-')[0]: path for path in wheels.iterdir()}
    assert sorted(built) == sorted(PACKAGES.values())
    run([*pip, '--python', python, 'install', '--no-index', *built.values()], folder)
    return Installed(python, {package: built[name] for package, name in PACKAGES.items()})


def journey(installed, folder, script, *arguments):
    """What a script prints, that runs in a folder with the fresh environment's `python` first."""
    path = f'{installed.python.parent}{os.pathsep}{os.environ["PATH"]}'
    return run(['sh', JOURNEYS / script, *arguments], folder, PATH=path, TFDS_DATA_DIR=str(folder / 'data'))


@pytest.mark.parametrize('package', PACKAGES)
def test_a_wheel_holds_its_package_alone_with_all_its_files(installed, package):
    names = {name for name in zipfile.ZipFile(installed.wheels[package]).namelist() if '.dist-info/' not in name}
    tracked = subprocess.run(
        ['git', 'ls-files', '--cached', '--others', '--exclude-standard', package],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    settings = {f'{package}/setup.cfg', f'{package}/pyproject.toml'}
    assert names == set(tracked.stdout.split()) - settings


def test_the_environment_has_the_packages_of_the_wheels(installed, tmp_path):
    places = run([installed.python, '-c', OURS], tmp_path).split()
    own = installed.python.parents[1].resolve()
    assert len(places) == 2
    assert all(Path(place).resolve().is_relative_to(own) for place in places), places


def test_from_photos_to_an_exported_model(installed, tmp_path):
    said = journey(installed, tmp_path, 'photos.sh')
    alone = {Path(photo).stem: name for photo, name, _ in map(str.split, said.splitlines()[-4:])}
    rows = read_json(tmp_path / 'runs' / 'photos' / 'predicted' / 'predictions.json')
    predicted = {Path(row['file']).stem: row['predictions'][0]['class'] for row in rows}
    assert alone.keys() == predicted.keys() == {'cat', 'coffee', 'face', 'no_face'}
    # Pillow and OpenCV resize a little differently: one photo of the four may be on the edge.
    assert sum(alone[photo] == predicted[photo] for photo in alone) >= 3, (alone, predicted)
    assert sum(photo == name for photo, name in predicted.items()) >= 2, predicted


def test_from_an_idea_to_an_exported_model(installed, tmp_path):
    said = journey(installed, tmp_path, 'idea.sh', ROOT / 'docs' / 'guides')
    assert said.count('digits, test: 597 images') == 2
    for name in ('idea', 'brightness'):
        assert (tmp_path / 'runs' / name / 'model.stablehlo').is_file()
