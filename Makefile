# The commands of this checkout; `make help` lists them. Each makes its virtual environment first when that is missing
# or older than pyproject.toml or constraints.txt, so a machine with Python >= 3.11 and make needs nothing else.

PYTHON ?= python3# makes the virtual environment
VENV ?= .venv# where that is
WORKERS ?= 2# processes that share the tests
ARGS ?=# more arguments for pytest, the demo or the benchmark

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed# written last: an interrupted install leaves none

.DEFAULT_GOAL := help
.PHONY: help demo test check bench install clean

help:
	@echo "make demo     classify handwritten digits with a small ViT; search drawn scenes with a small CLIP"
	@echo "make test     the tests: no GPU, no network"
	@echo "make check    ruff and pyright"
	@echo "make bench    this package beside timm, transformers, CTranslate2, open_clip, FAISS and whisper, here"
	@echo "make install  the virtual environment alone, in $(VENV)"
	@echo "make clean    remove what these commands wrote, except $(VENV)"
	@echo
	@echo "PYTHON=$(PYTHON) VENV=$(VENV) WORKERS=$(WORKERS) ARGS='$(ARGS)' can be set: make test ARGS='tests/cli -x'"

demo: $(INSTALLED)
	$(BIN)/multimodal demo $(ARGS)

# One thread per worker: two workers with two threads each on two cores wait for one another.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python

bench: $(INSTALLED)
	$(BIN)/python benchmarks/vit.py $(ARGS)
	$(BIN)/python benchmarks/text.py $(ARGS)
	$(BIN)/python benchmarks/search.py $(ARGS)
	$(BIN)/python benchmarks/contrastive.py $(ARGS)
	$(BIN)/python benchmarks/speech.py $(ARGS)
	$(BIN)/python benchmarks/vision_language.py $(ARGS)

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo >&2 "There is no $(PYTHON) here; this package needs Python 3.11 or\
	 newer. Install it, or name one that is here: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo >&2 "This package needs Python 3.11 or\
	 newer, and $(PYTHON) is $$($(PYTHON) -V 2>&1). Name a newer one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@rm -f $@
	@$(PYTHON) -m venv $(VENV) || { echo >&2 "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu,\
	 install python3-venv."; exit 1; }
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[test,dev,benchmark]'
	@touch $@

clean:
	rm -rf demo build dist .pytest_cache .ruff_cache *.egg-info
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +
