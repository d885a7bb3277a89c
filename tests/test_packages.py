"""What is installed: two distributions, the extras, and the pinned sets."""

import configparser
import re
from pathlib import Path

import jaxcv
from jaxcv.extras import EXTRAS

ROOT = Path(__file__).parent.parent
NAMES = {'sklearn': 'scikit-learn', 'skimage': 'scikit-image', 'tensorflow_datasets': 'tensorflow-datasets'}
"""Packages by the names that they are imported by, where those of PyPI are others."""
INDIRECT = {'array_record': 'tensorflow-datasets'}


def read(path):
    parser = configparser.ConfigParser()
    parser.read(ROOT / path)
    return parser


def required(lines):
    """{package: whether it has an upper bound}, of a list of requirements."""
    found = [line for line in lines.split('\n') if line and not line.startswith(('#', 'jaxcv['))]
    return {re.split(r'[<>=\[]', line)[0]: '<' in line for line in found}


def pins(name):
    lines = [line.partition('#')[0].strip() for line in (ROOT / name).read_text().splitlines()]
    return dict(line.split('==') for line in lines if '==' in line)


def test_the_library_and_the_launchers_are_two_distributions():
    library, launchers = read('setup.cfg'), read('experiments/setup.cfg')
    assert library['options.packages.find']['include'].split() == ['jaxcv', 'jaxcv.*']
    assert launchers['metadata']['version'] == jaxcv.__version__
    assert launchers['options']['install_requires'].split() == [f'jaxcv[launch]=={jaxcv.__version__}']
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / 'experiments').rglob('__init__.py')}
    listed = launchers['options']['packages'].split()
    assert sorted(listed) == sorted('.'.join(folder.parts) for folder in folders if 'build' not in folder.parts)


def test_every_optional_package_is_in_the_extra_that_messages_name():
    library = read('setup.cfg')
    core, extras = required(library['options']['install_requires']), library['options.extras_require']
    assert all(core.values()), 'every requirement has an upper bound'
    for package, extra in EXTRAS.items():
        name = INDIRECT.get(package) or NAMES.get(package, package)
        assert name in required(extras[extra])
        assert name not in core


def test_the_pinned_sets_have_all_that_the_launchers_require():
    """One set for Python 3.11, one for 3.12 and later; the tests run with the first."""
    library = read('setup.cfg')
    extras = library['options.extras_require']
    wanted = {*required(library['options']['install_requires'])}
    wanted |= {
        name for extra in ('data', 'demo', 'launch', 'search', 'test', 'viz') for name in required(extras[extra])
    }
    for name in ('requirements.txt', 'requirements-py312.txt'):
        assert wanted <= pins(name).keys()
    assert pins('requirements.txt').keys() == pins('requirements-py312.txt').keys()
