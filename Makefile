# make demo   the whole job against a server of its own; needs no account
# make test   all tests
# make check  lint, types, import rules, coverage
# make readme writes the README's generated parts
# make clean  removes all that make made
PYTHON ?= python3
BIN := .venv/bin

# Everything stays inside the clone, also what pip and the tests keep.
export PIP_CACHE_DIR := $(CURDIR)/.cache/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONDONTWRITEBYTECODE :=
export RUFF_CACHE_DIR := $(CURDIR)/.cache/ruff
export MYPY_CACHE_DIR := $(CURDIR)/.cache/mypy
TEMP := TMPDIR=$(CURDIR)/.cache/tmp

.PHONY: demo test check readme clean

demo: .venv/ready
	@mkdir -p .cache/tmp
	@$(TEMP) UPLOADER_HOME=$(CURDIR)/.cache/home $(BIN)/uploader demo

test: .venv/ready-dev
	@mkdir -p .cache/tmp
	$(TEMP) $(BIN)/python -m pytest -n auto --reruns 1

check: .venv/ready-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	@mkdir -p .cache/tmp
	$(TEMP) $(BIN)/coverage run -m pytest -n auto --reruns 1 tests/unit tests/contract
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

readme: .venv/ready-dev
	$(BIN)/python -m tests.test_readme

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
