# The two commands of the README: `make play` and `make check`.  Each sets up what it needs.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ENVIRONMENT := $(VENV)/.installed

.PHONY: play check lint test clean

# hear it: our own clock, a picture of the bar in the terminal, a .mid and a .wav to listen to
play: $(ENVIRONMENT)
	@.ci/packages play
	$(BIN)/drumigen play $(if $(STYLE),--style $(STYLE)) --wav drumigen.wav

# every check and every test
check: $(ENVIRONMENT)
	@.ci/packages check
	$(MAKE) --no-print-directory lint test

lint: $(ENVIRONMENT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# what runs on virtual time shares the cores; what has real parts has them to itself
REAL := jack or broker or process or pipewire or browser
test: $(ENVIRONMENT)
	$(BIN)/python -m pytest -n auto -m "not ($(REAL))"
	$(BIN)/python -m pytest -m "$(REAL)"

$(ENVIRONMENT): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group dev --editable .
	@touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
