# The two commands of the README: `make play` and `make check`.  Each sets up what it needs.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# what playing needs is small; what the checks need brings torch, linters and the rivals of the benchmarks
PLAYING := $(VENV)/.playing
ENVIRONMENT := $(VENV)/.installed

.PHONY: play check lint docs test test-virtual test-real test-fast clean

# hear it: our own clock, a picture of the bar in the terminal, a .mid and a .wav to listen to
play: $(PLAYING)
	@.ci/packages play
	$(BIN)/drumigen play $(if $(STYLE),--style $(STYLE)) --wav drumigen.wav

# every check and every test; it says first what it will do and about how long that takes
check: $(ENVIRONMENT)
	@.ci/packages check
	@VENV=$(VENV) .ci/check

lint: $(ENVIRONMENT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# the site, in build/site: begin with build/site/index.html
docs: $(ENVIRONMENT)
	$(BIN)/sphinx-build -q -W --keep-going -c docs/site . build/site

# what runs on virtual time shares the cores; what has real parts has them to itself
REAL := jack or broker or process or pipewire or browser or redis
test: test-virtual test-real

test-virtual: $(ENVIRONMENT)
	$(BIN)/python -m pytest -n auto -m "not ($(REAL))"

test-real: $(ENVIRONMENT)
	$(BIN)/python -m pytest -m "$(REAL)"

# for daily work: less than a minute on two cores, and it has something of every room
test-fast: $(ENVIRONMENT)
	$(BIN)/python -m pytest -q -n auto -m "not (slow or $(REAL))"

$(PLAYING): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("drumigen needs Python 3.11 or later, not " + sys.version.split()[0] + ": make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@echo "installing drumigen and what playing needs: about 30 MB to download"
	$(BIN)/python -m pip install --constraint constraints.txt --editable . | grep --line-buffered -E "^(Downloading|Installing|Successfully|ERROR)" || true
	@$(BIN)/python -c 'import drumigen_daemon.cli'
	@touch $@

$(ENVIRONMENT): $(PLAYING)
	@echo "installing what the checks need, torch among it: some gigabytes where pip finds a build for GPUs"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group dev --editable .
	@touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
