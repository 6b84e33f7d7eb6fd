# make distill            environment, install, and the whole loop on the recipe `laptop` (RECIPE=quick: two minutes)
# make test               format, lint, types, and the fast tests
# make test-slow          kills, two-worker training, serving, jobs
# make test-long          more of these, for which a change does not wait
# make schema             the recipe schema and reference in docs/
# make install VENV=path  install into that environment (an existing one is used as it is)

VENV ?= .venv
BASE_PYTHON ?= $(shell command -v python3.11 || command -v python3)
RECIPE ?= laptop
RUN ?= runs/$(RECIPE)
ARGS ?=

PY := $(abspath $(VENV))/bin/python
BIN := $(abspath $(VENV))/bin
STAMP := $(abspath $(VENV))/.pad_ray-$(shell cat pyproject.toml constraints.txt gym-requirements.txt Makefile | cksum | cut -d' ' -f1)
PIP := $(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt

# A machine without an NVIDIA driver gets PyTorch's CPU build: from the configured index if that has it, else from
# PyTorch's own. With a driver, the configured index decides.
TORCH := 2.13.0
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu

.PHONY: distill install test test-slow test-long check format schema bench clean
.DELETE_ON_ERROR:

distill: install
	$(BIN)/pad-ray distill $(RECIPE) $(ARGS) --run-dir $(RUN)

install: $(STAMP)

$(STAMP):
	@$(BASE_PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "pad_ray needs Python 3.11 or newer; $(BASE_PYTHON) is older. Set BASE_PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(PY) || { echo "creating $(VENV)"; $(BASE_PYTHON) -m venv $(VENV); }
	@echo "installing pad_ray into $(VENV) (about 2.6 GB, some minutes)"
	@$(PY) -c 'import torch, sys; sys.exit(torch.__version__.split("+")[0] != "$(TORCH)")' 2>/dev/null || $(MAKE) --no-print-directory torch
	@# Without its optional C++ kernels DeepSpeed installs and runs without a compiler.
	DS_BUILD_OPS=0 $(PIP) -e '.[dev]'
	$(PIP) --no-deps -r gym-requirements.txt
	@if command -v cc >/dev/null; then $(PIP) pycosat==0.6.6 2>/dev/null || true; fi
	@$(PY) -c 'import pycosat' 2>/dev/null || \
	  echo "note: the gym task zebra_puzzles is unavailable; it needs a C compiler (apt install gcc python3-dev), then make install"
	@rm -f $(abspath $(VENV))/.pad_ray-*
	@touch $@

.PHONY: torch
torch:
	@if command -v nvidia-smi >/dev/null || [ "$$(uname -s)" = Darwin ]; then $(PIP) torch==$(TORCH); else \
	  $(PIP) 'torch==$(TORCH)+cpu' 2>/dev/null || \
	  $(PIP) --extra-index-url $(TORCH_CPU_INDEX) 'torch==$(TORCH)+cpu' || $(PIP) torch==$(TORCH); fi

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(PY)

test: check
	$(PY) -m pytest $(ARGS)

test-slow: install
	$(PY) -m pytest -m 'slow and not long' $(ARGS)

test-long: install
	$(PY) -m pytest -m long $(ARGS)

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

schema: install
	$(PY) -c 'import json; from pad_ray.recipe import Recipe; print(json.dumps(Recipe.model_json_schema(), indent=1))' > docs/recipe.schema.json
	$(PY) -m pad_ray.recipe_reference > docs/recipe.md

bench: install
	for file in bench/sandbox.py bench/training.py bench/serve.py bench/startup.py; do $(PY) $$file || exit 1; done
	$(PY) bench/soak.py --programs 2000

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
