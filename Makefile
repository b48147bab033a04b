# One command each: `make run` starts everything, `make test` checks everything.
SHELL := /bin/sh
.DEFAULT_GOAL := help

PYTHON ?= $(firstword $(shell command -v python3.11 python3.12 python3.13 python3 2>/dev/null) python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.runtime-$(shell cksum < requirements.txt | tr ' ' '-')

.PHONY: help
help:
	@echo "make run          run everything on this machine; Ctrl-C stops it"
	@echo "make test         all checks and tests"
	@echo "make demo-outage  play the outage of the seed report against the running portal"

# ---- run ----

.PHONY: run
run: $(STAMP)
	@exec $(BIN)/python manage.py up

$(STAMP): requirements.txt
	@$(PYTHON) portal/supervise/bare.py
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "bonghwa: installing dependencies into $(VENV) (first run only)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@rm -f $(VENV)/.runtime-* && touch $@

# ---- test ----
DEV_STAMP := $(VENV)/.dev-$(shell cat requirements.txt requirements-dev.txt | cksum | tr ' ' '-')

.PHONY: test
test: $(DEV_STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m pytest

$(DEV_STAMP): $(STAMP) requirements-dev.txt
	@echo "bonghwa: installing test dependencies into $(VENV) (first run only)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@rm -f $(VENV)/.dev-* && touch $@
