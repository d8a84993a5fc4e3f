# Two commands do everything on a fresh machine with Python 3.11+ and pip: `make demo` and `make test`.
# `make test PYTHON=3.13` takes that Python, from PATH or from pyenv, and an environment of its own.

PYTHON ?= python3
ifeq ($(origin PYTHON),file)
    INTERPRETER := $(PYTHON)
    VENV ?= .venv
else
    INTERPRETER := $(shell scripts/find_python.sh $(PYTHON))
    ifeq ($(INTERPRETER),)
        $(error no Python)
    endif
    ifndef VENV
        VENV := .venv-$(shell $(INTERPRETER) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    endif
endif
BIN := $(VENV)/bin
CONSTRAINTS ?= constraints/newest.txt
PYTEST_ARGS ?=
BENCH_DOCS ?= docs
# Test processes at a time. They wait more than they work, so more of them than there are cores.
JOBS ?= 3
# Seconds after which a run of tests is ended, whatever it waits for.
LIMIT ?= 3600
# A quick look: no libraries of others, no examples, no workers that take turns.
QUICK := tests/unit tests/codec tests/registry tests/protocol tests/scheduler tests/rpc tests/actor tests/cli tests/packaging tests/test_public_api.py
PIP := $(BIN)/python -m pip install --quiet $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS)) --editable
PYTEST := $(BIN)/python scripts/within.py

.DEFAULT_GOAL := help
.PHONY: help demo test quick newest soak lint format protos bench check clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

demo: $(VENV)/.examples ## Run the main job: a sweep over scikit-learn's digits, with a worker killed on the way
	$(BIN)/python -m examples.sweep

test: $(VENV)/.test ## Run the test suite
	$(PYTEST) $(LIMIT) $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(PYTEST_ARGS)

quick: $(VENV)/.test ## Run the tests without pools, other libraries and examples (PYTHON=3.12)
	$(PYTEST) $(LIMIT) $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(PYTEST_ARGS) $(QUICK)

newest: ## Run the test suite with what pip installs today, in a new environment
	rm -rf $(VENV)-newest
	$(MAKE) test VENV=$(VENV)-newest CONSTRAINTS=

soak: $(VENV)/.test ## Run the long tests
	$(PYTEST) 7200 $(BIN)/python -m pytest -m soak --timeout 1800 $(PYTEST_ARGS)

lint: $(VENV)/.dev ## Check style, types, import contracts and the freshness of generated code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/generate_protos.py --check

format: $(VENV)/.dev ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only .

protos: $(VENV)/.dev ## Generate the code of protos/
	$(BIN)/python scripts/generate_protos.py

bench: $(VENV)/.bench ## Measure against the peers, in one run, and write docs/performance.md (BENCH_ARGS="--quick")
	$(BIN)/python -m benchmarks --docs $(BENCH_DOCS) $(BENCH_ARGS)

check: $(VENV)/.examples ## Fail when a ratio to a bare gRPC stream is less than half of the recorded (a minute)
	$(BIN)/python -m benchmarks --check

clean: ## Remove what the other targets made
	rm -rf .venv .venv-* out build dist

# Each stamp installs one set of extras into the same environment.
$(VENV)/.created:
	@$(INTERPRETER) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "$(INTERPRETER) is not a Python of at least 3.11: name one, as in \`make test PYTHON=3.13\`" >&2; exit 1; }
	$(INTERPRETER) -m venv $(VENV)
	touch $@

$(VENV)/.test: $(VENV)/.created pyproject.toml $(CONSTRAINTS)
	$(PIP) '.[test,examples]'
	touch $@

$(VENV)/.examples: $(VENV)/.created pyproject.toml $(CONSTRAINTS)
	$(PIP) '.[examples]'
	touch $@

$(VENV)/.dev: $(VENV)/.created pyproject.toml $(CONSTRAINTS)
	$(PIP) '.[test,examples,dev]'
	touch $@

# A peer that cannot be installed here is reported by the benchmark, not fatal to it.
$(VENV)/.bench: $(VENV)/.created pyproject.toml $(CONSTRAINTS)
	$(PIP) '.[examples]'
	for peer in ray xoscar Pyro5 msgpack rpyc loky distributed; do \
	    $(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) $$peer || echo "cannot install $$peer"; \
	done
	touch $@
