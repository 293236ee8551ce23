# Every target uses .venv, made from pinned constraints. PYTHON picks the interpreter it is made with.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: help install run test test-browser test-vllm check docs format bench dist clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

install: .venv/installed  ## make .venv with everything pinned

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade-strategy only-if-needed -c constraints.txt -e '.[train,llamacpp,ray,eval,inspect,docs,dev]'
	@touch $@

run: install  ## the quickstart: a real model through the whole of critique-guided distillation
	$(BIN)/cgd run configs/quickstart.toml

test: install  ## all tests
	$(BIN)/pytest

test-browser: install  ## the inspector and the report in a real Chromium
	command -v chromium
	$(BIN)/pytest -m browser tests/browser

test-vllm: .venv-vllm/installed  ## the tests of the vllm backend, on this CPU, in an environment of their own
	.venv-vllm/bin/python -c 'import vllm'
	.venv-vllm/bin/pytest -m vllm tests/backends/test_vllm.py tests/vllm

.venv-vllm/installed: pyproject.toml requirements-vllm.txt
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --quiet --no-deps -r requirements-vllm.txt
	.venv-vllm/bin/python -m pip install --quiet --no-deps -e .
	@touch $@

check: install  ## formatting, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: install  ## the documentation site, into site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

format: install  ## let ruff format and fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install  ## what cgd costs and survives, about half an hour on a machine that does nothing else (docs/performance.md)
	for name in startup store grading scoring driver durability training; do $(BIN)/python -m benchmarks.$$name --json || exit 1; done

dist: install  ## sdist and wheel in dist/, checked, installed in empty environments and run there
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	$(BIN)/pytest -m packaging tests/test_packaging.py

clean:  ## remove environments and caches, keep runs
	rm -rf .venv .venv-vllm dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
