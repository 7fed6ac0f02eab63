# Two commands: `make demo` and `make test`.  Each sets up .venv first; a second run installs nothing.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := cpu,pipeline,images,matcher,manager,dev
PIP := -m pip install -q --disable-pip-version-check --no-input
DEMO_ARGS ?=
BENCH_ARGS ?=
TEST_ARGS ?=
# Many tests wait for servers: some more processes than cores.  TEST_ARGS="-n 0" runs them in one.
TEST_PROCESSES ?= 3
# Tests start hundreds of processes, which would all compile our modules where nothing compiled may be kept.
export PYTHONDONTWRITEBYTECODE :=
BROWSERS := chromium chromium-browser google-chrome

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint bench bench-peers notebooks drills test-gpu-contract clean

help:  ## say what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-20s %s\n", $$1, $$2}'

# $(call venv,FOLDER): Debian splits venv from Python; what is missing is installed by apt-get, which says so.
define venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: $(PYTHON): expected Python 3.11 or newer, got `$(PYTHON) -V 2>&1`: make PYTHON=/path/to/python3.11 …"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments: installing Debian's python3-venv with apt-get"; \
	  sudo=; [ "`id -u`" = 0 ] || sudo=sudo; \
	  $$sudo apt-get update -q && $$sudo apt-get install -y -q python3-venv; } || { \
	  echo "error: python3-venv is missing and was not installed: install it, or make PYTHON=/path/to/python3.11 …"; exit 1; }
	@$(PYTHON) -m venv $(1) || { rm -rf $(1); exit 1; }
endef

$(BIN)/python:
	$(call venv,$(VENV))

$(VENV)/.made: pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV): some 700 MB the first time, which takes a minute or more"
	@$(BIN)/python $(PIP) -e '.[$(EXTRAS)]'
	@touch $@

demo: $(VENV)/.made  ## the main job, end to end, on 200,000 descriptors (DEMO_ARGS="--rows 20000")
	@$(BIN)/lim demo $(DEMO_ARGS)

# A page is tested in a browser, which no wheel has.  Where it cannot be installed the test skips, and says so.
define chromium
	@for name in $(BROWSERS); do command -v $$name >/dev/null && exit; done; { \
	  echo "no Chromium for the tests of pages: installing Debian's chromium with apt-get"; \
	  sudo=; [ "`id -u`" = 0 ] || sudo=sudo; \
	  $$sudo apt-get update -q && $$sudo apt-get install -y -q chromium; } || \
	  echo "chromium was not installed: the test in a browser will be skipped"
endef

test: $(VENV)/.made  ## linters, types, import contracts and all tests, against real servers (TEST_ARGS="-k wire")
	$(chromium)
	@$(BIN)/python -m pytest -m "not drill and not gpu" -n $(TEST_PROCESSES) --dist worksteal $(TEST_ARGS)

lint: $(VENV)/.made  ## ruff, mypy --strict, import contracts, sizes and names
	@$(BIN)/python -m pytest -q tests/test_house.py $(TEST_ARGS)

bench: $(VENV)/.made  ## the wire beside calling the index directly (BENCH_ARGS="--rows 100000")
	@$(BIN)/lim bench stream $(BENCH_ARGS)

bench-peers: $(VENV)/.made  ## ours beside other engines (BENCH_ARGS="--rows 100000 --regimes tree"); hnswlib wants a C++ compiler
	@$(BIN)/python $(PIP) -e '.[$(EXTRAS),peers]'
	@$(BIN)/lim bench peers $(BENCH_ARGS)

notebooks: $(VENV)/.made  ## run the notebooks on a small made list, and keep their outputs
	@$(BIN)/python tests/notebook_runs.py

drills: $(VENV)/.made  ## the long reliability tests
	@$(BIN)/python -m pytest -m drill --timeout 900 $(TEST_ARGS)

# In an environment of its own: faiss-cpu and faiss-gpu overwrite each other.
.venv-gpu/bin/python:
	$(call venv,.venv-gpu)

.venv-gpu/.made: pyproject.toml | .venv-gpu/bin/python
	@echo "installing into .venv-gpu: some 2 GB the first time"
	@.venv-gpu/bin/python $(PIP) -e '.[gpu,pipeline,matcher]' pytest pytest-asyncio pytest-timeout pytest-randomly
	@touch $@

test-gpu-contract: .venv-gpu/.made  ## compare what we use with the real GPU wheels (2 GB); runs on a GPU where there is one
	@.venv-gpu/bin/python -m pytest --noconftest -o pythonpath=tests \
	  tests/test_gpu_contract.py tests/test_gpu_found.py tests/test_device.py tests/test_on_gpu.py tests/test_overfetch.py

clean:  ## remove what was made
	rm -rf $(VENV) .venv-gpu build dist lim-demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find configs pipeline matcher manager tests -name __pycache__ -type d -prune -exec rm -rf {} +
