# The two commands of the README are `make demo` and `make test`; both set up .venv first.
PYTHON := .venv/bin/python
WORKDIR := runs/digits

.PHONY: demo test test-all lint format

demo: .venv/ready
	$(PYTHON) -m experiments.train --config=experiments/classification/digits.py --workdir=$(WORKDIR)
	$(PYTHON) -m experiments.evaluate --workdir=$(WORKDIR)

test: lint
	$(PYTHON) -m pytest -n auto --maxprocesses=8 -m 'not slow'

test-all: lint
	$(PYTHON) -m pytest -n auto --maxprocesses=8

lint: .venv/ready
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

format: .venv/ready
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

.venv/ready: requirements.txt
	python3 -m venv .venv
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@
