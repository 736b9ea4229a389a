# Every chore has a name; `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := casiopy memory-service training dashboard tests benchmarks
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
DEFINITIONS := constraints.txt pyproject.toml memory-service/pyproject.toml training/pyproject.toml dashboard/pyproject.toml
# Bytecode is made when something is imported first: compiling all of torch and its neighbours at once takes half a minute.
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet --no-compile
PACKAGES := -e . -e 'memory-service[embedded,embed,models,backup]' -e training -e dashboard
# torch and scientific libraries spin when they share cores; one thread each is faster here (measured on 2 cores).
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false
# Some container images forbid bytecode: every process would then compile all it imports anew (`casiopy --help`: 1.9 s, not 0.75).
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo up setup test lint types unit format generate bench browser clean

help: ## List the chores
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

demo: $(STAMP) ## Run the whole loop on a sample month, then stay up (Ctrl-C stops)
	@$(BIN)/casiopy demo

up: $(STAMP) ## Start the memory service and the dashboard for real use
	@$(BIN)/casiopy up

setup: $(STAMP) ## Install everything into .venv

test: lint types unit ## Lint, strict types and every test

lint: $(DEV_STAMP) ## Style and house rules
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)

types: $(DEV_STAMP) ## Strict types
	@$(BIN)/mypy casiopy memory-service/src training/src dashboard/src

unit: $(DEV_STAMP) browser ## Every test, against a real database and a real browser
	@$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

format: $(DEV_STAMP) ## Let the formatter have its way
	@$(BIN)/ruff check --fix-only --quiet $(SOURCES)
	@$(BIN)/ruff format --quiet $(SOURCES)

generate: $(STAMP) ## Rewrite the generated files: init-scripts/01_init_schema.sql, .env.example, the OpenAPI document
	@$(BIN)/casiopy schema-sql > init-scripts/01_init_schema.sql
	@$(BIN)/casiopy env-example --output .env.example
	@$(BIN)/casiopy openapi > docs/reference/openapi.json

bench: $(DEV_STAMP) ## List the benchmarks and how to run them
	@cat benchmarks/README.md

browser: ## Make sure that a Chromium for the tests is here
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || { \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    echo "Installing chromium for the browser tests …"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	  else \
	    echo "The browser tests need Chromium: install it with your system's package program (e.g. apt install chromium)." >&2; exit 1; \
	  fi; }

clean: ## Remove the virtual environment and caches (never data)
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Casiopy needs Python 3.11 or newer; '$(PYTHON)' is older or missing. Try: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	@echo "Making .venv with $$($(PYTHON) --version) …"
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing. On Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }

$(STAMP): $(VENV)/bin/python $(DEFINITIONS)
	@echo "Installing (the first time takes some minutes; torch is the large part) …"
	@$(PIP) 'setuptools>=77' wheel
	@$(PIP) torch==2.13.0
	@$(PIP) --no-build-isolation -c constraints.txt $(PACKAGES)
	@touch $@

$(DEV_STAMP): $(STAMP) training/requirements-unsloth.txt
	@echo "Installing what the tests need …"
	@$(PIP) --no-build-isolation -c constraints.txt -e '.[dev]'
	@$(PIP) --no-deps -r training/requirements-unsloth.txt
	@touch $@
