# Two commands: `make train` tries the product, `make test` runs the whole test suite.
# Both need Python 3.11 or newer with its `venv` module, and install into .venv.

enough := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
# The first Python that is new enough; `make PYTHON=/path/to/python train` names another.
PYTHON ?= $(firstword $(foreach python,python3 python3.14 python3.13 python3.12 python3.11 python, \
	$(shell $(python) $(enough) >/dev/null 2>&1 && echo $(python))))
VENV   := .venv
PEERS  := .venv-bench
RIVALS := .venv-quality
BIN    := $(VENV)/bin
TESTS  := -n auto
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: train test lint types web web-check test-data soak bench device quality docs clean
.NOTPARALLEL:

train: $(VENV)/.train
	@$(BIN)/chainrule train penguins --target species
	@echo "  chainrule is in $(BIN): first type  . $(BIN)/activate"

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(TESTS)

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.dev
	$(BIN)/mypy

# The page's script and style, built from web/ into the package; needs Node.js 20 or newer.
web: web/node_modules/.done
	cd web && npm run --silent build

# Types, tests, and whether the package holds what web/ builds, byte for byte.
web-check: web/node_modules/.done
	cd web && npm run --silent check && npm run --silent test
	cd web && OUT=$$(mktemp -d) && export OUT && npm run --silent build && \
		{ diff -rq "$$OUT" ../src/chainrule/inspector/static || \
		{ echo "src/chainrule/inspector/static is not what web/ builds; run: make web" >&2; exit 1; }; }

test-data: $(VENV)/.dev
	$(BIN)/python -m pytest -m network

soak: $(VENV)/.dev
	$(if $(COUNT),,$(BIN)/python -m pytest $(TESTS) -m soak)
	$(BIN)/python tests/soak.py $(if $(SEED),--seed $(SEED)) $(if $(COUNT),--count $(COUNT))

# BENCH="--quick" makes it short; `make bench BENCH=--help` has the rest.
bench: $(VENV)/.dev $(PEERS)/.done
	$(BIN)/python -m bench $(BENCH)

# A quarter of an hour; DEVICE="--device opencl --quick" is short, DEVICE=--help has the rest.
device: $(VENV)/.dev
	$(BIN)/python -m bench.device $(DEVICE)

# Hours where all is run; QUALITY="--only wine --seeds 0" is short, QUALITY=--help has the rest.
quality: $(VENV)/.dev $(RIVALS)/.done
	$(BIN)/python -m bench.quality $(QUALITY)

docs: $(VENV)/.docs
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) $(PEERS) $(RIVALS) web/node_modules site build dist

$(VENV)/.python:
	@test -n "$(PYTHON)" && "$(PYTHON)" $(enough) || { \
		echo "Chainrule needs Python 3.11 or newer; '$(or $(PYTHON),python3)' is not."; \
		echo "Install one (https://www.python.org/downloads), or name it: make PYTHON=/path/to/python3.12 train"; \
		exit 1; } >&2
	@"$(PYTHON)" -m venv $(VENV) || { \
		echo "The virtual environment $(VENV) could not be made; the lines above say why."; \
		echo "On Debian and Ubuntu: sudo apt install python3-venv; or see whether the disk is full (df -h .)."; \
		exit 1; } >&2
	@touch $@

# $(call install,arguments,what,environment): pip only speaks of errors; the next line says what
# to try.
define install
	@echo "Installing $(2) into $(3) ..."
	@$(3)/bin/python -m pip install -qq $(1) || { \
		echo "The installation did not finish; the lines above say why."; \
		echo "It needs the internet (pypi.org, or your own index in pip's settings) and room on the disk (df -h .)."; \
		echo "What is there stays: mend it, and run the same command again."; \
		exit 1; } >&2
	@touch $@
endef

$(VENV)/.train: $(VENV)/.python pyproject.toml
	$(call install,--editable ".",Chainrule (about 400 MB),$(VENV))

$(VENV)/.dev: $(VENV)/.python pyproject.toml
	$(call install,--editable ".[dev]",Chainrule and what its tests need (about 1.4 GB),$(VENV))
	@touch $(VENV)/.train

$(VENV)/.docs: $(VENV)/.python pyproject.toml
	$(call install,--editable ".[dev$(comma)docs]",Chainrule and what its tests and documentation need (about 1.4 GB),$(VENV))
	@touch $(VENV)/.train

# The frameworks that Chainrule is compared with stay apart from it. PyTorch's own index has it
# without gigabytes for GPUs; where that cannot be reached, pip soon takes it from the usual one.
CPU_TORCH := --extra-index-url https://download.pytorch.org/whl/cpu --timeout 10 --retries 1 torch==2.13.0
$(PEERS)/.done: bench/peers.txt | $(VENV)/.python
	@"$(PYTHON)" -m venv $(PEERS)
	$(call install,--no-deps $(CPU_TORCH),PyTorch,$(PEERS))
	$(call install,--requirement bench/peers.txt,JAX and scikit-learn (about 1.8 GB with PyTorch),$(PEERS))

$(RIVALS)/.done: bench/quality/peers.txt | $(VENV)/.python
	@"$(PYTHON)" -m venv $(RIVALS)
	$(call install,--no-deps $(CPU_TORCH),PyTorch,$(RIVALS))
	$(call install,--requirement bench/quality/peers.txt,pytabkit and scikit-learn (about 1.6 GB with PyTorch),$(RIVALS))

web/node_modules/.done: web/package.json web/package-lock.json
	cd web && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

comma := ,
