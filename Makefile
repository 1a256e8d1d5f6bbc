# make run    install, run the default benchmark, draw its figures
# make test   lint, types and all fast tests
# make lowest   the fast tests with the lowest versions of what is needed (Python 3.11 or 3.12: PYTHON=python3.12)
# make slow   coverage of intervals, kills, clusters: minutes (ESTBENCH_SLOW=small: fewer)
# make coverage   measure the coverage of all intervals again, into benchmarks/coverage.md (minutes)
# make bench   measure speed, into benchmarks/throughput.md (minutes; nothing else should run)
# make docs   write what is generated: docs/, configs/schema.json, the README's table and picture
# make reference   compute results/reference again

VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
LOWEST := .venv-lowest
STAMP := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
PIP := -m pip install --quiet --disable-pip-version-check

# The processes of the suite share what is compiled, also where Python is told to keep nothing.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test lint types unit lowest slow coverage bench docs reference clean
.DEFAULT_GOAL := help

help:
	@grep -E '^# make' Makefile | sed 's/^# //'

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) --constraint constraints.txt --editable .
	touch $(STAMP)

$(DEV): $(STAMP)
	$(BIN)/python $(PIP) --constraint constraints.txt --editable '.[dev]'
	touch $(DEV)

run: $(STAMP)
	$(BIN)/estbench run configs/bernoulli.yaml
	$(BIN)/estbench plot results/bernoulli
	@echo
	@echo 'Results:  results/bernoulli/results.csv'
	@echo 'Figures:  results/bernoulli/figures/'
	@echo 'Next:     $(BIN)/estbench --help, README.md'

# The types are checked beside the tests: mypy uses one core, for a minute in a fresh clone.
test: $(DEV)
	$(MAKE) --no-print-directory --jobs=3 lint types unit

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV)
	$(BIN)/mypy

unit: $(DEV)
	$(BIN)/pytest -n auto --dist worksteal -m 'not slow' -q

# Old versions warn of what is deprecated in the newer ones beside them, which is no error of ours.
lowest:
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python $(PIP) --constraint constraints-lowest.txt --editable '.[test]'
	$(LOWEST)/bin/pytest -n auto --dist worksteal -m 'not slow' -q -W default::DeprecationWarning -W default::FutureWarning

slow: $(DEV)
	$(BIN)/pytest -n auto --dist worksteal -m slow -q

coverage: $(DEV)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/coverage.py

bench: $(DEV)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/throughput.py

reference: $(STAMP)
	$(BIN)/estbench run configs/reference.yaml --fresh
	$(MAKE) docs

docs: $(DEV)
	$(BIN)/python docs/build.py

clean:
	rm -rf $(VENV) $(LOWEST) .pytest_cache .mypy_cache .ruff_cache .hypothesis
