# make run    install, run the default benchmark, draw its figures
# make test   lint, types and all fast tests
# make slow   coverage of intervals, kills and other checks of minutes
# make help   the rest

VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help run test lint types unit slow ci docs bench coverage reference clean
.DEFAULT_GOAL := help

help:
	@grep -E '^# make' Makefile | sed 's/^# //'
	@echo 'make docs   write what is generated: docs/, configs/schema.json, the README table and picture'

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

run: $(STAMP)
	$(BIN)/estbench run configs/bernoulli.yaml
	$(BIN)/estbench plot results/bernoulli
	@echo
	@echo 'Results:  results/bernoulli/results.csv'
	@echo 'Figures:  results/bernoulli/figures/'
	@echo 'Next:     $(BIN)/estbench --help, README.md'

test: lint types unit

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

unit: $(STAMP)
	$(BIN)/pytest -n auto -m 'not slow' -q

slow: $(STAMP)
	$(BIN)/pytest -n auto -m slow -q
