# Everything that people run by hand. `make help` prints the targets from this file.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := list

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# Two LightGBM threads that spin while they wait stall each other on a busy machine.
export OMP_WAIT_POLICY := passive
# No telemetry.
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
# Imports from compiled files are several times faster.
unexport PYTHONDONTWRITEBYTECODE

define CHECK_PYTHON
import sys
if sys.version_info < (3, 11):
    sys.exit(f"churn-risk needs Python 3.11 or newer, but $(PYTHON) is {sys.version.split()[0]}: "
             "say `make PYTHON=/path/to/python3.11`.")
endef
export CHECK_PYTHON

.PHONY: list
list: setup ## Run the pipeline and print the top of the weekly list (what `make` alone does)
	@python -m pipelines.params
	dvc repro
	@python -m pipelines.commands.summary

.PHONY: setup
setup: $(VENV)/.installed ## Install what the pipeline needs into .venv

$(VENV)/.python:
	@$(PYTHON) -c "$$CHECK_PYTHON"
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.python pyproject.toml constraints.txt
	python -m pip install --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	python -m pip install --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

$(VENV)/.installed-spark: $(VENV)/.installed-dev
	python -m pip install --disable-pip-version-check --constraint constraints.txt --editable '.[dev,spark]'
	@touch $@

# Whole files, in the order of tests/conftest.py.
TWO_PROCESSES := --numprocesses 2 --dist loadfile --no-loadscope-reorder

.PHONY: test
test: $(VENV)/.installed-dev ## Run the tests (a few minutes)
	python -m pytest -m "not slow" $(TWO_PROCESSES)

.PHONY: test-slow
test-slow: $(VENV)/.installed-spark ## Run the tests that need a browser, Spark or a fresh environment, and many more examples
	python -m pytest -m "slow or hypothesis" --hypothesis-profile thorough --timeout 3000 $(TWO_PROCESSES)

.PHONY: test-spark
test-spark: $(VENV)/.installed-spark ## Run the tests on Spark, here and on a small cluster (needs Java 17)
	python -m pytest -m spark --timeout 3000

.PHONY: lint
lint: $(VENV)/.installed-dev ## Check style and types
	ruff check .
	ruff format --check .
	mypy

.PHONY: publish
publish: setup ## Log this pipeline state to MLflow if it is new (FORCE=1: even if it is not)
	dvc repro $(if $(FORCE),--single-item --force) publish

.PHONY: promote
promote: setup ## Let the gate decide on a run (RUN=its id; FORCE="a reason" overrules the gate)
	@python -m pipelines.commands.promote --run "$${RUN:-}" $${FORCE:+--force "$$FORCE"}

.PHONY: ui
ui: setup ## Open the MLflow UI on 127.0.0.1 (PORT=5000)
	mlflow ui --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///$(CURDIR)/mlflow.db}" --host 127.0.0.1 --port $(or $(PORT),5000)

.PHONY: screenshots
screenshots: $(VENV)/.installed-dev ## Retake the pictures of README.md and docs/reviewing.md (needs Chromium)
	python docs/take_screenshots.py

.PHONY: simulate
simulate: setup ## Write a simulated world to tmp/simulated (CUSTOMERS=1000000 WEEKS=104)
	python -m pipelines.commands.simulate $(if $(CUSTOMERS),--customers $(CUSTOMERS)) $(if $(WEEKS),--weeks $(WEEKS))

.PHONY: week
week: setup ## Advance the simulated world by one week; then run make again
	@python -m pipelines.commands.advance_week

.PHONY: release
release: setup ## Release the list: append it to lists/, irrevocably
	@python -m pipelines.commands.release

.PHONY: weekly
weekly: setup ## Fetch new rows, run the pipeline, release the list (BRING='command that fetches rows')
	@python -m pipelines.commands.monday $(if $(BRING),--bring '$(BRING)')

.venv-survival: studies/bench/requirements-survival.txt
	$(PYTHON) -m venv $@
	$@/bin/python -m pip install --disable-pip-version-check --requirement $<
	@touch $@

.PHONY: scoreboard
scoreboard: setup .venv-survival ## Compare the model with tuned rivals (OULAD=folder TRIALS=8; three hours, 14 GB)
	python -m studies.scoreboard $(if $(OULAD),--oulad $(OULAD)) $(if $(TRIALS),--trials $(TRIALS))

.PHONY: ceiling
ceiling: setup ## Re-measure the observable ceiling of the simulated world (an hour, 10 GB)
	python -m studies.ceiling

$(VENV)-bench/.installed: studies/bench/requirements.txt
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install --disable-pip-version-check --requirement $<
	@touch $@

.PHONY: bench
bench: setup $(VENV)-bench/.installed ## Measure speed and memory; results in reports/bench (FULL=1: all sizes, hours)
	python -m studies.bench $(if $(FULL),--full) $(if $(ONLY),--only $(ONLY))

.PHONY: clean
clean: ## Remove what the pipeline wrote (but not released lists or mlflow.db)
	git clean -fdqX data reports build

.PHONY: help
help: ## Print this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS=$$'\t' read -r name text; do \
		printf '  make %-10s %s\n' "$$name" "$$text"; done
