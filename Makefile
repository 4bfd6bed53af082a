# `make` lists the commands.

# The first supported Python found; choose another with `make PYTHON=/path/to/python3.12 ...`.
CHECK_PYTHON := -c 'import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'
PYTHON ?= $(or $(firstword $(foreach python,python3.11 python3.12 python3.13 python3,\
	$(shell $(python) $(CHECK_PYTHON) 2>/dev/null && echo $(python)))),python3)

BIN := .venv/bin
NEWEST := .venv-newest
INSTALLED := .venv/.installed
METHOD := ln+prefix+mha_adapter

# Each of the processes that tests start would compile lnbench anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup run test pytest lint format parity docs newest clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## Set up .venv, once

run: $(INSTALLED) ## Set up if needed, then tune a small BERT; add overrides with ARGS="seed=1 trainer.max_epochs=2"
	$(BIN)/python -m lnbench method=$(METHOD) $(ARGS)

test: ## Set up if needed, then check style and types while running the tests; ARGS go to pytest
	@$(MAKE) --no-print-directory --jobs=2 lint pytest

pytest: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(INSTALLED) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(INSTALLED) ## Format the code and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

parity: $(INSTALLED) ## Compare the methods with HF peft, AdapterHub's adapters and closed forms
	$(BIN)/python -m scripts.parity

docs: $(INSTALLED) ## Write the documentation's site to site/
	$(BIN)/sphinx-build --quiet --fail-on-warning -c docs . site
	@echo "site/index.html"

newest: ## Run tests/contracts on the newest versions of all packages, in an environment of their own; or ARGS="tests"
	test -x $(NEWEST)/bin/python || $(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy eager --editable '.[test]'
	OMP_NUM_THREADS=1 $(NEWEST)/bin/python -m pytest $(or $(ARGS),tests/contracts)

clean: ## Remove the environments and all caches, but no results
	rm -rf .venv $(NEWEST) build dist site .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) $(CHECK_PYTHON) 2>/dev/null || { \
		echo "lnbench needs Python 3.11, 3.12 or 3.13 with its venv module, and '$(PYTHON)' is" \
			"$$($(PYTHON) --version 2>&1 || true); name one with: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo "Setting up .venv with $(PYTHON), once; this takes a few minutes"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@touch $@
