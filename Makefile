# Needs only make and a Python 3.9 or newer with its venv module: `make PYTHON=python3.12 test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WHEEL_VENV := .venv-wheel
SOURCES := $(shell find autotask autotask_ruby sitecustomize_template bin -type f -not -name '*.pyc' 2>/dev/null)
# Not the template, which Python 2.7 has to read.
TYPED := autotask bench demo tests hatch_build.py
ARGS ?=
# One more than there are cores: some tests wait. Who is done takes tests of who is not.
WORKERS := $(shell expr $$(getconf _NPROCESSORS_ONLN || echo 2) + 1)
PYTEST := pytest -n $(WORKERS) --dist worksteal
# Without bytecode each process would compile what it imports of a checkout anew.
unexport PYTHONDONTWRITEBYTECODE
# Signals, alarms, ends: what a busy machine has broken before.
TIMED := tests/around/test_signals.py tests/around/test_closing.py tests/test_crowds.py tests/test_endings.py \
	tests/test_guard.py tests/test_guest.py tests/test_unsent.py

.PHONY: help
help:  ## show this
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 12

.PHONY: demo
demo: $(VENV)/.ready  ## show the product at work: tasks that succeed and fail, and what is known of them
	@$(BIN)/python demo/demo.py

.PHONY: test
test: test-wheel test-checkout  ## run all tests, each once but those about how autotask is installed (ARGS="-k word")

# 5: ARGS has chosen none of them
.PHONY: test-wheel
test-wheel: $(WHEEL_VENV)/.ready build/.apt-packages
	$(WHEEL_VENV)/bin/$(PYTEST) -m "not checkout" $(ARGS) || [ $$? = 5 ]

.PHONY: test-checkout
test-checkout: $(VENV)/.ready build/.apt-packages
	$(BIN)/$(PYTEST) -m "checkout or installed" $(ARGS) || [ $$? = 5 ]

.PHONY: apt-packages
apt-packages: build/.apt-packages  ## install redis-server, Ruby, cron and Chromium for the tests, if root can

build/.apt-packages: tests/apt_packages.sh tests/apt_unpacked.sh
	@mkdir -p build
	@sh tests/apt_packages.sh redis-server ruby rake bundle=ruby-bundler crontab=cron chromium
	@sh tests/apt_unpacked.sh build/apt anacron busybox-static
	@touch $@

.PHONY: test-all
test-all: export FAULTS := all
test-all: export FRAMEWORK_ENVIRONMENTS := all
test-all: export PRODUCTS := all
test-all: test test-busy coverage matrix upstream storm mutants  ## run the tests with all kinds of faults and on all Pythons, and what runs for hours

.PHONY: test-busy
test-busy: $(VENV)/.ready  ## run the tests of signals and ends beside a busy loop on each core
	$(BIN)/python tests/busy.py $(BIN)/$(PYTEST) $(TIMED) $(ARGS)

# The tests of the tool alone, without two whose processes cannot write what was measured.
.PHONY: coverage
coverage: $(VENV)/.ready  ## measure how much of the commands' code the tests reach; fail if it is less than before
	@rm -rf build/coverage
	@mkdir -p build/coverage
	$(BIN)/coverage run -m $(PYTEST) tests/tool tests/test_bundle.py tests/test_homes.py \
		-k "not full_disk_ends_it_before and not becomes_another_user" $(ARGS)
	@$(BIN)/coverage combine -q
	$(BIN)/coverage report

.PHONY: lint
lint: $(VENV)/.ready lint-ruby  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(TYPED)

.PHONY: lint-ruby
lint-ruby:
	@if command -v rubocop >/dev/null; then rubocop --format quiet; \
	else echo "lint: the Ruby half is not checked: rubocop is not installed"; fi

.PHONY: bench
bench: $(VENV)/.ready  ## measure what autotask costs beside its budgets (ARGS="--quick", "--gate", "--million")
	$(BIN)/python bench/bench.py $(ARGS)

.PHONY: bench-long
bench-long: $(VENV)/.ready  ## measure a million runs in one process, into docs/evidence.md
	$(BIN)/python bench/long.py $(ARGS)

.PHONY: bench-peers
bench-peers: $(VENV)/.ready  ## measure the peers beside us, into docs/evidence.md (ARGS="--quick")
	$(BIN)/python bench/peers.py $(ARGS)

.PHONY: bench-loss
bench-loss: $(VENV)/.ready  ## measure what an Agent that comes and goes misses, into docs/evidence.md
	$(BIN)/python bench/loss.py $(ARGS)

.PHONY: matrix
matrix: $(VENV)/.ready  ## test oldest and newest frameworks on every Python found (ARGS="--python 3.9")
	$(BIN)/python tests/matrix.py $(ARGS)

.PHONY: upstream
upstream: $(VENV)/.ready  ## run the frameworks' own tests bare and under the agent (ARGS="--framework click")
	$(BIN)/python tests/upstream.py $(ARGS)

.PHONY: storm
storm: $(VENV)/.ready  ## kill thousands of tasks and hold the journal against them, into docs/evidence.md
	$(BIN)/python tests/storm.py --write $(ARGS)

.PHONY: load
load: $(VENV)/.ready build/.apt-packages  ## load a Celery worker whose children are killed, bare and under the agent
	$(BIN)/python tests/load_celery.py $(ARGS)

.PHONY: mutants
mutants: $(VENV)/.ready build/mutants/.ready  ## break the code in small ways and count what no test notices (ARGS="--seed 3")
	build/mutants/bin/python tests/mutants.py $(ARGS)

build/mutants/.ready:
	@mkdir -p build
	@$(call make_venv,build/mutants)
	@build/mutants/bin/python -m pip install -qq 'cosmic-ray>=8.4,<9'
	@touch $@

.PHONY: wheel
wheel: $(VENV)/.ready  ## build the wheel and the source distribution into dist/
	$(BIN)/hatchling build

.PHONY: bundle
bundle: $(VENV)/.ready  ## write the folder that containers need into build/bundle
	@$(BIN)/autotask bundle --force build/bundle

.PHONY: clean
clean:  ## remove all that make has made
	rm -rf $(VENV) $(WHEEL_VENV) build dist .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# The stamps: an environment is made anew only when what it is made of has changed.
$(VENV)/.ready: pyproject.toml bin/autotask-run
	@$(call make_venv,$(VENV))
	@$(VENV)/bin/python -m pip install -qq --editable '.[dev]'
	@touch $@

# WHEEL=dist/NAME.whl tests a wheel that is already built: CI builds one and tests it on each Python.
WHEEL ?= build/wheel/*.whl
$(WHEEL_VENV)/.ready: $(if $(filter file,$(origin WHEEL)),build/wheel/.ready,$(WHEEL)) pyproject.toml
	@$(call make_venv,$(WHEEL_VENV))
	@# Most of what this brings is never imported; what is, is compiled then.
	@$(WHEEL_VENV)/bin/python -m pip install -qq --no-compile "$$(echo $(WHEEL))[dev]"
	@$(WHEEL_VENV)/bin/python -m pip install -qq --no-deps --force-reinstall $(WHEEL)
	@touch $@

build/wheel/.ready: $(VENV)/.ready $(SOURCES) pyproject.toml
	@rm -rf build/wheel
	@$(BIN)/hatchling build -t wheel -d build/wheel >/dev/null 2>&1
	@touch $@

define make_venv
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 9))' || \
	{ echo "autotask needs Python 3.9 or newer: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; exit 1; }; \
$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	{ echo "$(PYTHON) cannot make a virtual environment: apt-get install python3-venv" >&2; exit 1; }; \
test -x $(1)/bin/python || { echo "setting up $(1), once"; $(PYTHON) -m venv $(1); }
endef
