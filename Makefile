# `make run` serves, `make test` tests; each sets up what it needs first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MODEL := model.pkl
SPARK := $(VENV)/spark

.PHONY: run test quick lint format bench docs spark lock clean
.DEFAULT_GOAL := run

# The tests start hundreds of processes: without bytecode, each would compile all modules again.
unexport PYTHONDONTWRITEBYTECODE

run: $(VENV)/.runtime $(MODEL)
	@$(BIN)/python -m server

# Three at a time: some wait for other programs. What fails is run once more by itself: a test that passes then has a race, which is to be mended.
test: $(VENV)/.dev lint
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder || { \
	  echo "Running what failed once more, by itself."; \
	  $(BIN)/python -m pytest --last-failed --last-failed-no-failures none; }

quick: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev
	$(BIN)/python -m bench

# The documentation as a site, in the folder site/. A broken link or anchor is an error.
docs: $(VENV)/.dev
	@$(BIN)/mkdocs build --strict
	@echo "Read it on http://127.0.0.1:8000: $(BIN)/python -m http.server --bind 127.0.0.1 --directory site"

# Spark in an environment of its own: a gigabyte; it needs Java (Debian: apt-get install openjdk-17-jre-headless).
spark: $(SPARK)/.ready
	@$(SPARK)/bin/python -m examples.spark_job

# The lock names packages, versions and hashes, and no place to download them from.
lock: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --no-emit-index-url --no-emit-find-links --extra server --output-file requirements.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --no-emit-index-url --no-emit-find-links --extra server --group dev --group docs --constraint requirements.lock \
	  --output-file requirements-dev.lock pyproject.toml

$(MODEL): | $(VENV)/.runtime
	@echo "No $(MODEL) yet: training the diabetes regression model."
	@$(BIN)/python -m train

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Telltale needs Python 3.11 or later; '$(PYTHON)' is $$($(PYTHON) -V). Try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@echo "Creating $(VENV) with $$($(PYTHON) -V) (once)."
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }

$(VENV)/.runtime: requirements.lock | $(BIN)/python
	@echo "Installing the pinned dependencies."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock | $(BIN)/python
	@echo "Installing the pinned dependencies and the development tools."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@ $(VENV)/.runtime

$(SPARK)/.ready: requirements.lock | $(BIN)/python
	@command -v java > /dev/null || { echo "Spark needs Java: apt-get install openjdk-17-jre-headless"; exit 1; }
	@$(BIN)/python -m venv $(SPARK)
	@$(SPARK)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(SPARK)/bin/python -m pip install --quiet --disable-pip-version-check "pyspark>=4,<5" "pyarrow>=15" "pandas>=2.2,<3"
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
