# `make run` and `make test` do all the set-up that a fresh machine needs.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: run test smoke benchmark lint docs clean

run: $(VENV)/ready
	$(BIN)/python -m launch.run $(ARGS)

smoke: $(VENV)/ready
	$(BIN)/python -m launch.run --config=mnist1d_smoke $(ARGS)

test: $(VENV)/ready
	$(BIN)/python -m pytest $(ARGS)

benchmark: $(VENV)/ready
	$(BIN)/pip install -q -c constraints.txt -e '.[bench]'
	$(BIN)/python -m launch.benchmark $(ARGS)

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/mypy

$(VENV)/ready: setup.cfg setup.py pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e '.[run,speech,export,test,docs]'
	touch $@

clean:
	rm -rf $(VENV) runs build dist docs/api *.egg-info

docs: $(VENV)/ready
	$(BIN)/python docs/make_api.py docs/api
