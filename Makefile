# One way to do each thing. `make` alone lists them.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --no-cache-dir
# One thread a process: the tests are many small sums, which threads only slow down. One process a core, up to eight.
TEST := OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest -q -n logical --maxprocesses 8 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help demo test test-full lint format clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.core  ## set up what is needed to run, and caption the example clips
	$(BIN)/opendasheng caption examples/clips

test: lint  ## lint, then the test suite without the long tests
	$(TEST) -m "not full"

test-full: lint  ## lint, then all tests, the long ones too
	$(TEST)

lint: $(VENV)/.dev  ## ruff, mypy and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.dev  ## let ruff lay out the code and fix what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove caches and build products; the environment in .venv stays
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are newer than the files they were made from, so nothing is installed twice.
$(VENV)/.core: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e . -c constraints.txt
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[dev]' -c constraints.txt
	$(PIP) --no-deps -c constraints.txt tinysoundfont  # what it would bring along plays on loudspeakers
	@touch $(VENV)/.core $@

# The first interpreter that is new enough; `make PYTHON=/path/to/python` names another.
$(BIN)/python:
	@for python in $(PYTHON) python3.11 python3.12 python3.13 python3.14 python3; do \
	  if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "$$python -m venv $(VENV)"; exec "$$python" -m venv $(VENV); \
	  fi; \
	done; \
	echo "OpenDasheng needs Python 3.11 or newer with its venv module; python3 here is: $$(python3 --version 2>&1)." >&2; \
	echo "Install a newer one (on Debian also python3-venv), or name it: make PYTHON=/path/to/python" >&2; \
	exit 1
