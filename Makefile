# Everything a developer does here, and all of it on a fresh machine with git, make and Python 3.11 or newer.
# Tools and dependencies live in .tools/ and .venv/ of this folder; nothing else is touched.

.DEFAULT_GOAL := help
.PHONY: help demo serve test test-long bench check format clean

UV_VERSION := 0.13.9
UV := .tools/bin/uv
BIN := .venv/bin
# Only with the Python that `make` found, whatever uv could download.
export UV_PYTHON_DOWNLOADS := never
# Compiled once here, where everything may be written: a start without it takes twice as long.
SYNC := $(UV) sync --locked --compile-bytecode --extra demo --python .tools/bin/python
# And the tests as pytest rewrites them, which takes each of its workers as long as all else before the first test.
unexport PYTHONDONTWRITEBYTECODE
COMPILE := $(BIN)/python -m compileall -q app connectors migrations
# The newest Python that can make a virtual environment; choose another with `make PYTHON=/path/to/python3 …`.
PYTHON ?= $(shell for python in python3.14 python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& command -v $$python && break; done)

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.run ## See it work: CRMs, Google, Mailchimp, accounting and phones, synced both ways, with proof
	$(BIN)/concord demo $(ARGS)

serve: .venv/.run ## Run the daemon: the API, and every connection at its interval (ARGS="--port 9000")
	$(BIN)/concord serve $(ARGS)

test: .venv/.dev ## Run the tests (ARGS="-k name" to choose)
	$(BIN)/python -m pytest -n auto --dist worksteal $(LIMIT) $(ARGS)

test-long: export HYPOTHESIS_PROFILE := long
test-long: LIMIT := --timeout 7200
test-long: test ## The same with longer random histories

bench: .venv/.dev ## Measure it
	$(BIN)/python -m benchmarks $(ARGS)

check: .venv/.dev ## Lint, format, types, architecture
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.dev ## Put the code into its format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## Remove what make installed and the caches
	rm -rf .venv .tools .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find app benchmarks connectors migrations tests -name __pycache__ -type d -prune -exec rm -rf {} +

# What `make demo` and `make serve` need; --inexact leaves the developers' tools where they are.
.venv/.run: .tools/uv-$(UV_VERSION) uv.lock pyproject.toml
	$(SYNC) --no-dev --inexact
	@$(COMPILE)
	@touch $@

.venv/.dev: .tools/uv-$(UV_VERSION) uv.lock pyproject.toml
	$(SYNC)
	@$(COMPILE)
	@touch .venv/.run $@

.tools/uv-$(UV_VERSION):
	@test -n "$(PYTHON)" || { echo 'Concord needs Python 3.11 or newer with its venv module, and found none.' \
		'Install it (Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python)' \
		'or name it: make PYTHON=/path/to/python3' >&2; exit 1; }
	$(PYTHON) -m venv --clear .tools
	.tools/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@
