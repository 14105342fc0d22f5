# Two environments: .venv holds the project, .venv-dvc holds DVC, whose antlr4 would break Dagster's asset selections.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

PYTHON ?= python3.11
RECIPE ?= embedded
DAGSTER_PORT ?= 3000
MLFLOW_PORT ?= 5000
STUDY ?= method
PYTEST_ARGS ?=
TEST_WORKERS ?= logical
PICTURES ?= $(CURDIR)/pictures

BIN := $(CURDIR)/.venv/bin
DVC := $(CURDIR)/.venv-dvc/bin/dvc
export PATH := $(BIN):$(CURDIR)/.venv-dvc/bin:$(PATH)
export DAGSTER_HOME := $(CURDIR)/.dagster
export DVC_SITE_CACHE_DIR := $(CURDIR)/.dvc/tmp/site
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup run results test test-browser check docs ui repro push pull lock clean

help:  ## Show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 16

setup: .venv/.installed .venv-dvc/.installed  ## Create .venv and .venv-dvc, or bring them up to date with the lock files

run: setup  ## Materialize every asset of RECIPE (default: embedded) through Dagster, then print the results
	@recops run --recipe $(RECIPE)

results: setup  ## Measure the cells of STUDY (default: method) that are missing, then write its tables
	@recops study run $(STUDY)
	@recops study table $(STUDY)

# A process per core, up to four, and a thread each; whole files, in order, so that the long ones come first.
test: setup  ## Run the tests, TEST_WORKERS files at a time (default: one per core, at most 4; 0 for one after another)
	@OMP_NUM_THREADS=1 python -m pytest --numprocesses $(TEST_WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder \
		$(PYTEST_ARGS)

test-browser: setup  ## The tests in a headless Chromium, against the real servers; what they saw lies in pictures/
	@RECOPS_BROWSER_PICTURES=$(PICTURES) python -m pytest $(PYTEST_ARGS) tests/browser

check: setup  ## Ruff, mypy (strict), import-linter, Dagster's check of its definitions, MkDocs (strict)
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	dagster definitions validate -w workspace.yaml
	mkdocs build --strict --quiet

docs: setup  ## Build docs/ as a site that opens offline: site/index.html
	@mkdocs build --strict --quiet
	@echo "built site/index.html"

ui: setup  ## Dagster and MLflow on 127.0.0.1, until Ctrl-C
	@python -m jobs.ui --dagster-port $(DAGSTER_PORT) --mlflow-port $(MLFLOW_PORT)

repro: setup  ## dvc repro: the same stages without Dagster, only those whose inputs changed
	@dvc repro

push: setup  ## Copy the recorded artefacts to the DVC remote
	@dvc push

pull: setup  ## Fetch the recorded artefacts from the DVC remote
	@dvc pull

lock: setup  ## Write the lock files anew from what is installed
	@pip freeze --exclude-editable | sed -E '/^nvidia-|^triton|^cuda-/d; s/\+cpu$$//' > requirements.lock
	@.venv-dvc/bin/pip freeze > requirements-dvc.lock

clean:  ## Remove both environments; data, models and reports stay
	rm -rf .venv .venv-dvc

.venv/.installed: requirements.lock pyproject.toml
	@echo "installing the project into .venv (some minutes, once)"
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@.venv/bin/pip install --quiet --quiet --requirement requirements.lock
	@.venv/bin/pip install --quiet --quiet --no-deps --editable .
	@touch $@

.venv-dvc/.installed: requirements-dvc.lock
	@echo "installing DVC into .venv-dvc"
	@test -x .venv-dvc/bin/python || $(PYTHON) -m venv .venv-dvc
	@.venv-dvc/bin/pip install --quiet --quiet --requirement requirements-dvc.lock
	@$(DVC) config --local core.site_cache_dir $(DVC_SITE_CACHE_DIR)
	@touch $@
