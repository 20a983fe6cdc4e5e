# Everything a fresh machine needs: `make run` and `make test` do all the set-up by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Arguments of the program: make run ARGS="scan clip.mp4". None scans the demo clip.
ARGS ?=

.PHONY: run test lint fuzz bench standalone clean

run: $(READY)
	@$(BIN)/python -m app $(ARGS)

test: lint
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/shellcheck fetch_weights.sh resize_video.sh .ci/run .ci/system-libraries.sh

# Thousands of hostile files; goes on where it ended, in runs/fuzz.
fuzz: $(READY)
	$(BIN)/python -m tests.fuzz $(ARGS)

bench: $(READY)
	$(BIN)/python -m tests.bench $(ARGS)

# The stamp is written last: an interrupted set-up is done again, a finished one never.
$(READY): requirements.lock pyproject.toml
	@bash .ci/system-libraries.sh
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Unmask needs Python 3.11 or newer: make PYTHON=python3.11" >&2; exit 1; }
	@echo "setting up $(VENV) (once; a few minutes and 4 GB)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# dist/unmask: a folder that runs without Python, for the kind of machine it is made on.
standalone: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "pyinstaller>=6.11"
	$(BIN)/python -m PyInstaller --noconfirm packaging/unmask.spec

clean:
	rm -rf $(VENV) runs build dist *.egg-info
