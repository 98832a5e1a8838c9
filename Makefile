# The two commands of the README: `make play` and `make check`.  Each sets up what it needs.
#
# They work from any folder (make -C, make -f), in paths with spaces, and in a checkout that may not be
# written to.  So nothing here is a file to be made: .ci/environment knows what is up to date.

ROOT := $(shell cd "$$(dirname '$(strip $(MAKEFILE_LIST))')" && pwd)
export PYTHON VENV
# begins a recipe that needs all that the checks need: in the checkout, with its programs in $$bin
RUN = set -e; VENV=$$("$(ROOT)/.ci/environment" check); export VENV; bin=$$VENV/bin; cd "$(ROOT)"

.PHONY: play check lint docs test test-virtual test-real test-fast clean

# hear it: our own clock, a picture of the bar in the terminal, live sound, a .mid and a .wav; GPU=1
# gets PyTorch for a GPU too, some gigabytes
play:
	@set -e; VENV=$$("$(ROOT)/.ci/environment" play); "$(ROOT)/.ci/packages" play; \
	$(if $(GPU),"$$VENV/bin/python" -c 'import torch' 2>/dev/null || "$$VENV/bin/python" -m pip install -q torch;) \
	exec "$$VENV/bin/drumigen" play $(if $(STYLE),--style '$(STYLE)') --wav

# every check and every test; it says first what it will do and about how long that takes
check:
	@$(RUN); .ci/packages check; exec .ci/check

lint:
	@$(RUN); set -x; "$$bin/ruff" check .; "$$bin/ruff" format --check .; "$$bin/mypy"; "$$bin/lint-imports"

# the site, in build/site: begin with build/site/index.html
docs:
	@$(RUN); set -x; "$$bin/sphinx-build" -q -W --keep-going -c docs/site . build/site

# what runs on virtual time shares the cores; what has real parts has them to itself
REAL := jack or broker or process or pipewire or browser or redis
test: test-virtual test-real

test-virtual:
	@$(RUN); set -x; "$$bin/python" -m pytest -n auto -m "not ($(REAL))"

test-real:
	@$(RUN); set -x; "$$bin/python" -m pytest --durations=25 -m "$(REAL)"

# for daily work: about a minute on two cores, and it has something of every room
test-fast:
	@$(RUN); set -x; "$$bin/python" -m pytest -q -n auto --hypothesis-profile=quick -m "not (slow or $(REAL))"

clean:
	cd "$(ROOT)" && rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
