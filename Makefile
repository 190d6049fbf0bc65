# Two commands: `make train` tries the product, `make test` runs the whole test suite.
# Both need nothing but Python 3.11 or newer; they install into .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: train test lint types test-data docs clean

train: $(VENV)/.train
	$(BIN)/chainrule train penguins --target species

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.dev
	$(BIN)/mypy

test-data: $(VENV)/.dev
	$(BIN)/python -m pytest -m network

docs: $(VENV)/.docs
	$(BIN)/python -m docs.generate
	$(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) site build dist

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "chainrule needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.train: $(VENV)/pyvenv.cfg pyproject.toml
	$(BIN)/pip install --quiet --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/pyvenv.cfg pyproject.toml
	$(BIN)/pip install --quiet --editable ".[dev]"
	@touch $@ $(VENV)/.train

$(VENV)/.docs: $(VENV)/pyvenv.cfg pyproject.toml
	$(BIN)/pip install --quiet --editable ".[dev,docs]"
	@touch $@ $(VENV)/.train
