# Kabar. `make` alone prints what there is to make.
PYTHON ?= python3
CANDIDATES := $(if $(filter file,$(origin PYTHON)),python3 python3.13 python3.12 python3.11,$(PYTHON))
BIN := .venv/bin
# Two workers, each with a database and a Valkey; tests of one xdist_group follow one another.
PYTEST := $(BIN)/python -m pytest -n $(or $(WORKERS),2) --dist loadgroup
# What is about SQLite: the kernel's SQL in both dialects, locks and dates that each database has
# its own way, and the whole shop in one process. All other code speaks to Django's ORM alone, so
# that a push proves it on PostgreSQL, and a night on both.
SQLITE_TESTS := tests/eventbus tests/infra tests/analytics tests/scenarios tests/edge/test_idempotency.py
FUZZING := $(BIN)/python -m pytest -s tests/edge/test_schema.py
SEED := $(or $(KABAR_SEED),$(shell date -u +%Y%m%d))
COMMA := ,
UV := $(shell command -v uv)
INSTALL := $(if $(UV),uv pip install --python $(BIN)/python,$(BIN)/python -m pip install --disable-pip-version-check --no-compile) --quiet
COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes

.DEFAULT_GOAL := help
.PHONY: help install run stack test check nightly fuzz bench lock fmt chaos docs

help:  ## Print this
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Each .venv/.NAME is touched once requirements of that name are in .venv; packages are only added.
install: .venv/.dev  ## Make .venv with all that tests, checks and docs need

run: .venv/.run  ## Serve the whole shop from one process on SQLite, at http://127.0.0.1:8000
	@exec $(BIN)/python manage.py runshop

stack: .venv/.run .venv/.stack  ## Serve from PostgreSQL, Valkey, web, relay, workers and a bank, without Docker
	@exec $(BIN)/python -m tools.devserver.stack

test: install  ## Run all tests on PostgreSQL and Valkey, then those about SQLite on SQLite
	$(PYTEST)
	KABAR_TEST_DB=sqlite $(PYTEST) $(SQLITE_TESTS)

check: install  ## Everything a pull request must pass
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python manage.py check --fail-level WARNING
	$(BIN)/python manage.py makemigrations --check
	$(BIN)/python manage.py makecontracts --check
	$(BIN)/python manage.py makeopenapi --check
	@$(MAKE) --no-print-directory test
	$(BIN)/python -m tools.ops.audit_deps

nightly: export KABAR_SEED = $(SEED)
nightly: install  ## All tests on both databases, many cases, shuffled by the date (KABAR_SEED=20261125: as then)
	@echo "KABAR_SEED=$(SEED)"; failed=; \
	$(PYTEST) || failed=1; \
	KABAR_TEST_DB=sqlite $(PYTEST) || failed=1; \
	FUZZ=$(or $(FUZZ),200) $(FUZZING) || failed=1; \
	test -z "$$failed"

fuzz: install  ## Ask the API thousands of things by its own description (FUZZ=200: more)
	FUZZ=$(or $(FUZZ),40) $(FUZZING)

bench: .venv/.run .venv/.stack  ## Measure the bus beside bare Celery and a raw loop (OPTIONS=--quick: a minute or two)
	@exec $(BIN)/python -m tools.bench $(OPTIONS)

chaos: .venv/.run .venv/.stack  ## Kill, freeze, empty and restart parts of a scratch shop for minutes, and count what was lost
	@exec $(BIN)/python manage.py chaostest $(or $(OPTIONS),--cycles 20)

docs: install  ## Build the documentation site: var/site/index.html
	@$(BIN)/python -m tools.ops.docs_site
	@$(BIN)/zensical build --strict

fmt: install  ## Put the code in order, as far as ruff can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock:  ## Pin what requirements*.in ask for; a pin in requirements*.txt stays while it fits
	@command -v uv >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 1; }
	$(COMPILE) requirements.in -o requirements.txt
	$(COMPILE) -c requirements.txt requirements-stack.in -o requirements-stack.txt
	$(COMPILE) -c requirements.txt -c requirements-stack.txt requirements-dev.in -o requirements-dev.txt

.venv/.run: requirements.txt
.venv/.stack: requirements-stack.txt
.venv/.dev: requirements-dev.txt
.venv/.run .venv/.stack .venv/.dev: | $(BIN)/python
	@echo "Installing $< into .venv with $(if $(UV),uv,pip)."
	@$(INSTALL) --require-hashes -r $<
	@touch $@ $(if $(filter %.dev,$@),.venv/.run .venv/.stack)  # dev includes both

# uv finds, or fetches, a Python by itself, unless PYTHON names one.
$(BIN)/python:
ifneq ($(UV),)
	@uv venv --quiet --seed --python $(if $(filter file,$(origin PYTHON)),'>=3.11$(COMMA)<3.14',$(PYTHON)) .venv
else
	@for python in $(CANDIDATES); do \
		if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			exec $$python -m venv .venv; \
		fi; \
	done; \
	echo "Kabar needs Python 3.11 or newer, and found none as: $(CANDIDATES)." >&2; \
	echo "Name one: make PYTHON=/path/to/python3.11 run" >&2; \
	exit 1
endif
