# Everything that is done here, by name. Each target does its own set-up in .venv; `make` alone lists them.
# ARGS="..." goes to pytest (WORKERS= for one process); PYTHON=... chooses the interpreter for .venv.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
ROUNDS ?= 20
CASES ?= 100000
RUNS ?= 1000000
ARGS ?=
WORKERS ?= -n 4
CODE := pytest_netfixtures tests examples tools docs/conf.py

.PHONY: help
help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

$(READY): pyproject.toml tools/venv.sh tools/python.sh
	@tools/venv.sh $(VENV) '.[all]' dev
	@touch $@

.PHONY: venv
venv: $(READY)  ## the virtual environment that everything else uses

.PHONY: referees
referees:  ## tshark, redis-server and others: installed where we may, named where they are missing
	@tools/referees.sh

.PHONY: test
test: $(READY) referees  ## the whole test suite
	$(PY) -m pytest $(WORKERS) $(ARGS)

.PHONY: demo
demo: $(READY)  ## the main job: examples, a failure report, a capture
	@$(PY) tools/demo.py

.PHONY: check
check: $(READY) lint types docs dist  ## ruff, mypy, docs, sdist and wheel, README's snippets

.PHONY: lint
lint: $(READY)  ## ruff, check and format
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

.PHONY: types
types: $(READY)  ## mypy, strict
	$(PY) -m mypy

.PHONY: docs
docs: $(READY)  ## the site, into docs/_build/html; a warning is an error
	$(PY) -m sphinx -W -n -q -E -b html docs docs/_build/html

.PHONY: dist
dist: $(READY)  ## sdist and wheel into dist/, looked at, installed and used
	@$(PY) tools/dist.py

.PHONY: matrix
matrix: $(READY)  ## the suite on every other Python from 3.10 to 3.14 that starts, in turn as soak does
	@$(PY) tools/matrix.py $(ARGS)

.PHONY: soak
soak: $(READY)  ## the suite ROUNDS times in random order, with -n 4, and beside two busy loops
	@$(PY) tools/soak.py --rounds $(ROUNDS) $(ARGS)

.PHONY: test-deep
test-deep: $(READY)  ## each law of the wire with CASES cases (100000), and how many there were
	@$(PY) tools/deep.py --cases $(CASES) $(ARGS)

.PHONY: fuzz
fuzz:  ## RUNS inputs (1000000) from atheris into the reader of capture files; its environment is .fuzz
	@tools/fuzz.sh && .fuzz/bin/python tools/fuzz.py --runs $(RUNS) $(ARGS)

.PHONY: coverage
coverage: $(READY)  ## which lines and branches the suite reaches
	$(PY) -m coverage run -m pytest $(ARGS)
	$(PY) -m coverage combine -q
	$(PY) -m coverage report

.PHONY: picture
picture: $(READY)  ## the picture of a capture for README and docs
	$(PY) tools/picture.py

.PHONY: changelog
changelog: $(READY)  ## what the next release's notes will say
	$(PY) -m towncrier build --draft --version next

.PHONY: fmt
fmt: $(READY)  ## put the code into shape
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

.PHONY: clean
clean:  ## remove what was made here, the virtual environments included
	rm -rf $(VENV) .matrix .fuzz build dist docs/_build htmlcov .coverage .coverage.* \
	  .hypothesis .mypy_cache .pytest_cache .ruff_cache net-captures examples/net-captures
