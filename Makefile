# Everything a newcomer needs; `make quickstart` and `make test` set up what they need by themselves.
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python -m

.DEFAULT_GOAL := help
.PHONY: help quickstart test check format docs notebooks constraints clean

help:
	@echo "make quickstart   reconstruct 16 rooms and show the result"
	@echo "make test         run the test suite"
	@echo "make check        what a reviewer runs: format, lint, types, tests"
	@echo "make docs         build the site into docs/_build/html"
	@echo "make notebooks    run the notebooks and renew their copies"

# Set up once, and again when a dependency changes.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

quickstart: $(VENV)/.ready
	$(RUN) dis_lightning predict --config configs/quickstart.yaml

test: $(VENV)/.ready
	$(RUN) pytest

check: $(VENV)/.ready
	$(RUN) ruff format --diff .
	$(RUN) ruff check .
	$(RUN) mypy
	$(RUN) pytest

format: $(VENV)/.ready
	$(RUN) ruff format .
	$(RUN) ruff check --fix .

# Run the notebooks, and keep what they gave beside them.
notebooks: $(VENV)/.ready
	$(RUN) notebooks.execute

docs: $(VENV)/.ready
	$(RUN) sphinx --fail-on-warning --keep-going --quiet docs docs/_build/html

# Pin what is installed now; run the whole suite before keeping it.
constraints: $(VENV)/.ready
	( sed -n 1p constraints.txt; $(RUN) pip freeze --exclude-editable ) > constraints.new
	mv constraints.new constraints.txt

clean:
	rm -rf $(VENV) build dist docs/_build *.egg-info
