# One word a task. Each sets up what it needs: a virtual environment with the exact versions of constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?=
SHARD ?=
# One process per core and one thread per process; whole files, so that what a file prepares is prepared once.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-slow test-all check bench docs clean

$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "setting up $(VENV) (about a minute)"
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "bioseg needs Python 3.11 to 3.13; say which with: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) torch==$$(sed -n 's/^torch==\([^+]*\).*/\1/p' constraints.txt)
	@$(PIP) --editable '.[tensorboard]'
	@touch $@

$(VENV)/.developer: $(VENV)/.installed
	@$(PIP) --editable '.[dev]'
	@touch $@

demo: $(VENV)/.installed  ## every step once, on phantoms or on DATA=folder
	@$(BIN)/bioseg demo --out demo $(if $(DATA),--data "$(DATA)")

test: $(VENV)/.developer  ## all but the slow tests
	@$(PYTEST) -m 'not slow and not long'

test-slow: $(VENV)/.developer  ## the slow tests but the longest ones; SHARD=1/4: the first of four parts
	@$(PYTEST) -m 'slow and not long' $(if $(SHARD),--shard $(SHARD))

test-all: $(VENV)/.developer  ## every test
	@$(PYTEST)

check: $(VENV)/.developer  ## style, types, import directions
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/python -m pytest tests/test_layers.py

bench: $(VENV)/.developer  ## speeds as ratios, side by side in one run
	@$(BIN)/python -m benchmarks

docs: $(VENV)/.developer  ## the reference of commands, written from the program itself
	@$(BIN)/typer bioseg.cli utils docs --name bioseg --output docs/reference/commands.md

clean:
	rm -rf $(VENV) demo build dist src/*.egg-info
