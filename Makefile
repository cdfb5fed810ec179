# make demo      shows the whole job against a server of its own; needs no account
# make test      runs all tests but the slow ones
# make test-all  runs all tests
# make check     checks format, lint, types and imports
# make coverage  runs all tests and reports the lines that none of them reaches
# make docs      writes the generated parts of README.md and docs/
# make clean     removes all that make made
PYTHON ?= python3
BIN := .venv/bin

# Everything stays inside the clone, also what pip and the tests keep.
export PIP_CACHE_DIR := $(CURDIR)/.cache/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONDONTWRITEBYTECODE :=
export RUFF_CACHE_DIR := $(CURDIR)/.cache/ruff
export MYPY_CACHE_DIR := $(CURDIR)/.cache/mypy
TEMP := TMPDIR=$(CURDIR)/.cache/tmp

# Tests that wait leave a core to others. Those that measure time run alone, and first: one process prepares all
# test files for the several that follow.
PYTEST := $(TEMP) $(BIN)/python -m pytest
TOGETHER := -n $$((2 * $$($(BIN)/python -c 'import os; print(os.cpu_count())'))) --dist worksteal

.PHONY: demo test test-all check coverage docs clean

demo: .venv/ready
	@mkdir -p .cache/tmp
	@$(TEMP) UPLOADER_HOME=$(CURDIR)/.cache/home $(BIN)/uploader demo

test: .venv/ready-dev
	@mkdir -p .cache/tmp
	$(PYTEST) -m "timing and not slow"
	$(PYTEST) $(TOGETHER) -m "not slow and not timing"

test-all: .venv/ready-dev
	@mkdir -p .cache/tmp
	$(PYTEST) -m timing
	$(PYTEST) $(TOGETHER) -m "not timing"

check: .venv/ready-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# What is measured in seconds is not traced as well.
coverage: .venv/ready-dev
	@mkdir -p .cache/tmp
	$(BIN)/coverage erase
	$(PYTEST) -m timing
	$(TEMP) $(BIN)/coverage run -m pytest $(TOGETHER) -m "not timing"
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

docs: .venv/ready-dev
	$(BIN)/python -m tests.test_docs

.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "uploader needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Say: make PYTHON=python3.12 ...")'
	@$(PYTHON) -m venv .venv || { echo "This Python cannot make a virtual environment. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@touch $@

.venv/ready: .venv/made pyproject.toml
	@echo "Setting up (once) ..."
	@$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/ready-dev: .venv/ready
	@echo "Setting up the test tools (once) ..."
	@$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

clean:
	rm -rf .venv .cache .coverage .coverage.* *.egg-info dist build
