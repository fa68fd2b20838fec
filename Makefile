# `make help` lists the targets. Everything is installed into .venv, and nothing outside this directory.

PYTHON ?= $(shell for each in python3.13 python3.12 python3.11 python3; do \
	"$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$each"; break; }; done)
BIN := .venv/bin
# Tests wait more than they compute, and each worker may hold a whole cluster.
WORKERS ?= $(shell cores=$$(nproc 2>/dev/null || echo 1); [ $$cores -lt 3 ] && echo $$((cores + 1)) || echo 4)
ARGS ?=

.PHONY: help up down status check test sim chaos fuzz format bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/.run: pyproject.toml
	@test -n "$(PYTHON)" || { echo "Balsa needs Python 3.11 or newer; none was found on the PATH" >&2; exit 1; }
	@echo "installing into .venv"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/.dev: .venv/.run
	@echo "installing what the tests need into .venv"
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

up: .venv/.run ## install, start a three-node cluster, say what to type next
	@$(BIN)/balsa up $(ARGS)

down: ## stop the cluster; its data stays
	@test ! -x $(BIN)/balsa || $(BIN)/balsa down $(ARGS)

status: ## show every process of the cluster
	@$(BIN)/balsa status

check: .venv/.dev ## lint, type-check, check the layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

test: .venv/.dev ## install and run all tests (ARGS="-k name" for some)
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile $(ARGS)

sim: .venv/.dev ## simulate store clusters from seeds (ARGS="--minutes 30", "--seed N --trace", "--mutations")
	@$(BIN)/python -m tests.sim.store $(ARGS)

chaos: .venv/.dev ## break a store of real processes under load (ARGS=--minutes=30)
	@$(BIN)/python -m tests.chaos $(ARGS)

fuzz: .venv/.dev ## feed every parser whatever breaks it, led by coverage (ARGS="--seconds 300 --target http2")
	@$(BIN)/pip install --quiet --disable-pip-version-check atheris
	@$(BIN)/python -m tests.fuzz $(ARGS)

format: .venv/.dev ## format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: .venv/.dev ## run the benchmarks; results go to bench/results
	@$(BIN)/python -m bench $(ARGS)

clean: down ## remove what was installed and built
	rm -rf .venv build *.egg-info control_plane/api/_build
