"""How Sphinx builds the documentation: `make docs`.

Three parts are written at each build, and not committed: the pages of the API (`api_pages`), the table of a config's
fields (`field_page`), and the notebooks of `colab/` as tutorials. Notebooks are shown without being run;
`DOCS_RUN_NOTEBOOKS=1 make docs` runs them once and keeps their outputs in Jupyter's cache.
"""

import os
import re
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS)]

import api_pages  # noqa: E402
import field_page  # noqa: E402
import tutorial_pages  # noqa: E402

import jaxcv  # noqa: E402

project, author, release = 'jaxcv', 'The authors of jaxcv', jaxcv.__version__
copyright = '2026, the authors of jaxcv'
extensions = [
    'sphinx.ext.autodoc',
    'sphinx.ext.autosummary',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
    'myst_nb',
    'sphinx_design',
]
exclude_patterns = ['_build']
html_theme = 'sphinx_book_theme'
html_title = 'jaxcv'
html_static_path = ['_static']
html_css_files = ['pages.css']
html_theme_options = {'show_toc_level': 2, 'home_page_in_toc': True, 'use_download_button': False}

myst_enable_extensions = ['colon_fence', 'dollarmath']
myst_heading_anchors = 3
nb_execution_mode = 'cache' if os.environ.get('DOCS_RUN_NOTEBOOKS') else 'off'
nb_execution_timeout = 600
nb_execution_raise_on_error = True

default_role = 'code'  # a name between single backticks
smartquotes = False  # what is between quotes is often code
autodoc_typehints_format = 'short'
autodoc_member_order = 'bysource'
autodoc_preserve_defaults = True
autosummary_generate = False
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
suppress_warnings = ['misc.highlighting_failure']  # shell prompts and magics of notebooks

api_pages.write(DOCS / 'api')
field_page.write(DOCS / 'fields.md')
tutorial_pages.write(DOCS.parent / 'colab', DOCS / 'tutorials')


def link_notes(app, docname, source):
    """Makes the names on the page of the notes links to the API."""
    if docname == 'guides/notes':
        named = r'`(?!experiments|flax)([a-z_]+(?:\.\w+)+)`'
        source[0] = re.sub(named, r'{py:obj}`\1 <jaxcv.\1>`', source[0])


def setup(app):
    """Connects what makes reStructuredText of docstrings, and links of names."""
    api_pages.connect(app)
    app.connect('source-read', link_notes)
