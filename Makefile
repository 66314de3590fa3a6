# `make` only wraps `python -m bot …` in a virtual environment; every target can be run by hand as well.
# The environment is built once, and again only when setup.cfg or constraints.txt change.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: help demo sandbox test coverage run lab lint format bench clean
help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

# torch first and pinned: a range that admits a newer release would bring several GB of CUDA packages.
$(READY): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, this is " + sys.version.split()[0] + "; use make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@echo "setting up $(VENV); this happens once"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch torchvision
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[demo,test]'
	@touch $@

demo: $(READY) ## Run the daemon on an embedded miniature Commons and check the result
	$(BIN)/python -m bot demo

run: $(READY) ## Follow the real Commons in dry-run: make run CONTACT=you@example.org
	$(if $(CONTACT),COMMONSBOT_IDENTITY__CONTACT='$(CONTACT)') $(BIN)/python -m bot run

sandbox: $(READY) ## Start a real MediaWiki with the bot on it, to look at
	$(BIN)/python -m tests.sandbox_wiki --with-bot

# The browser tests bring Debian's Chromium; where it cannot be had they are skipped and say so (in CI they fail).
# A process per core up to four, each with files of its own: each holds a model or two. make test PARALLEL= runs them in one, with readable output.
PARALLEL ?= --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: $(READY) ## Run all tests
	-$(BIN)/python -m tests.browser.chromium
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

coverage: $(READY) ## Run all tests and show what they cover; takes half as long again
	$(BIN)/python -m pytest --cov --cov-report=term $(PARALLEL) $(ARGS)

lab: $(READY) ## Compare architectures and options on a drawn task, about 20 minutes; writes docs/lab
	$(BIN)/python -m bot lab

lint: $(READY) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory eslint; else echo "ESLint skipped: there is no npm"; fi

.PHONY: eslint
eslint:
	cd bot/review/gadget && { [ -d node_modules ] || npm install --silent --no-package-lock --no-audit --no-fund; } && npm test --silent

format: $(READY) ## Rewrite the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## Measure: the numbers in the README come from here
	$(BIN)/python -m benchmarks.stream
	$(BIN)/python -m benchmarks.pipeline
	$(BIN)/python -m benchmarks.endurance
	$(BIN)/python -m benchmarks.review
	$(BIN)/python -m benchmarks.peak
	$(BIN)/python -m benchmarks.classify
	$(BIN)/python -m benchmarks.decode
	$(BIN)/python -m benchmarks.light
	$(BIN)/python -m benchmarks.way
	$(BIN)/python -m benchmarks.zoo

clean: ## Remove the environment and caches; what the bot has recorded in var/ stays
	rm -rf $(VENV) build *.egg-info .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis
