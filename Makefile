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
	@echo "make test         all checks and tests; WORKERS=1 for one test at a time"
	@echo "make audit        are the pinned packages free of known vulnerabilities?"
	@echo "make test-fleet   deployments from compose.yaml, rolling upgrades, faults, migrations back and forth"
	@echo "make test-fast    only the tests that take no server, browser or container"
	@echo "make test-postgres  the tests that use the database, on a private PostgreSQL"
	@echo "make bench        measure the feed beside other ways; ARGS=--install gets those first"
	@echo "make bench-logflood  measure what a log flood in a container costs the portal"
	@echo "make bench-pages  measure the portal's pages over a month of invented history"
	@echo "make bench-sweep  measure a sweep over a hundred containers of the Engine at DOCKER_HOST"
	@echo "make bench-bus    measure what rows, topics and tokens cost Redis, by the number of web processes"
	@echo "make bench-proxy  measure what nginx costs for each end user and frame, plain and with TLS"
	@echo "make image        the container image of compose.yaml, built without a network; BASE=image for another base"
	@echo "make wheels       fetch into wheels/ what the image is built of"
	@echo "make demo-outage  play the outage of the seed report against the running portal"
	@echo "make prove-faults eleven faults in real containers: is each told in time, once, and on the right service?"
	@echo "make prove-outages  the Engine, Redis, the database and the channel go away: is anything lost or doubled?"
	@echo "make prove-fleet  compose.yaml at rest, web scaled and killed under 2,000 clients, upgraded, saturated: does it hold?"
	@echo "make prove-checklist  break and repair what the seed report's six measures are about: does each item see it?"
	@echo "make faults       kills, pauses, restarts, a full disk, clocks, links, storms: what is lost, how soon does all work?"
	@echo "make fuzz         the API, the feed's socket and the import of reports, for ten minutes"
	@echo "make soak         half an hour of healthy load, clients and deploys: is anything told, does anything grow?"

# ---- run ----

.PHONY: run
run: $(STAMP)
	@exec $(BIN)/python manage.py up

$(BIN)/python:
	@$(PYTHON) portal/supervise/bare.py
	@$(PYTHON) -m venv $(VENV)

$(STAMP): requirements.txt | $(BIN)/python
	@echo "bonghwa: installing dependencies into $(VENV) (first run only)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@rm -f $(VENV)/.runtime-* && touch $@

# ---- test ----

DEV_STAMP := $(VENV)/.dev-$(shell cat requirements.txt requirements-dev.txt | cksum | tr ' ' '-')
#: Production-like values for the deploy check: every warning of Django's counts.
DEPLOY_ENV := DEBUG=False SECRET_KEY=$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(64))') \
	PUBLIC_URL=https://bonghwa.example ALLOWED_HOSTS=bonghwa.example \
	CSRF_TRUSTED_ORIGINS=https://bonghwa.example TRUSTED_PROXIES=127.0.0.1 DOCKER_HOST=tcp://127.0.0.1:2375

$(DEV_STAMP): $(STAMP) requirements-dev.txt
	@echo "bonghwa: installing the tools for checks and tests into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-dev.txt
	@rm -f $(VENV)/.dev-* && touch $@

#: Test processes side by side: one more than there are cores, since most tests wait for servers; six at most,
#: since each has a Valkey, a browser and an Engine of its own.
WORKERS ?= $(shell cores=$$(nproc 2>/dev/null || echo 1); [ $$cores -lt 5 ] && expr $$cores + 1 || echo 6)

#: CI plays what `make test-fleet` does too.
SIDE_BY_SIDE := not timed$(if $(CI),, and not fleet)

#: pytest's exit code 1 is that tests failed: in CI a few of them are tried once more, with nothing beside them.
ALONE := $(if $(CI),|| { [ $$? -eq 1 ] && $(BIN)/python -m tests.alone; })

.PHONY: test
test: lint check
	@$(BIN)/python -m tests.advisories $(ADVISORIES) || [ $$? -eq 2 ]
	$(BIN)/python -m pytest -n $(WORKERS) -m "$(SIDE_BY_SIDE)" $(ALONE)
	$(BIN)/python -m pytest -m timed $(ALONE)

.PHONY: lint
lint: $(DEV_STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/lint-imports

.PHONY: check
check: $(DEV_STAMP)
	$(BIN)/python manage.py makemigrations --check --dry-run
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
		env DATA_DIR="$$folder" $(DEPLOY_ENV) $(BIN)/python manage.py check --deploy --fail-level WARNING

#: ADVISORIES is a checkout of https://github.com/pypa/advisory-database for a machine that reaches PyPI's index
#: only. `make test` goes on when nobody could be asked (exit code 2) and says so; `make audit` fails.
.PHONY: audit
audit: $(DEV_STAMP)
	@$(BIN)/python -m tests.advisories $(ADVISORIES)

.PHONY: test-fleet
test-fleet: $(DEV_STAMP)
	$(BIN)/python -m pytest -m fleet

.PHONY: test-fast
test-fast: $(DEV_STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow and not docker and not browser and not timed and not fleet"

.PHONY: test-postgres
test-postgres: $(DEV_STAMP)
	$(BIN)/python -m tests.on_postgres -n $(WORKERS) $(ARGS)

# ---- numbers ----

.PHONY: bench
bench: $(STAMP)
	@$(BIN)/python -m bench $(ARGS)

.PHONY: bench-logflood
bench-logflood: $(STAMP)
	@$(BIN)/python -m bench.logflood $(ARGS)

.PHONY: bench-pages
bench-pages: $(STAMP)
	@$(BIN)/python -m bench.pages $(ARGS)

.PHONY: bench-sweep
bench-sweep: $(STAMP)
	@$(BIN)/python -m bench.sweep $(ARGS)

.PHONY: bench-bus
bench-bus: $(STAMP)
	@$(BIN)/python -m bench.bus $(ARGS)

.PHONY: bench-proxy
bench-proxy: $(STAMP)
	@$(BIN)/python -m bench.proxy $(ARGS)

# ---- container image ----

IMAGE ?= bonghwa:latest
#: As compose.yaml has it: of .env, else the official image.
BASE ?= $(or $(shell sed -n 's/^BASE=//p' .env 2>/dev/null | tail -n 1),python:3.11-slim-bookworm)
#: Python of BASE: the wheels are fetched for it, whatever runs this.
IMAGE_PYTHON ?= 3.11
#: Installs the wheels inside the build, on a base that has no pip.
IMAGE_PIP := pip==25.3
WHEELS_STAMP := wheels/.for-$(shell (cat requirements.txt; echo $(IMAGE_PYTHON) $(IMAGE_PIP)) | cksum | tr ' ' '-')

.PHONY: image wheels
wheels: $(WHEELS_STAMP)

$(WHEELS_STAMP): | $(BIN)/python
	@rm -rf wheels && mkdir wheels
	@# Without markers: pip would ask them of this Python, not of the image's. The Dockerfile compares it.
	@sed 's/ *;.*//' requirements.txt > wheels/all.txt
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --only-binary :all: \
		--python-version $(IMAGE_PYTHON) --dest wheels --requirement wheels/all.txt $(IMAGE_PIP)
	@touch $@

image: $(WHEELS_STAMP)
	docker build --build-arg BASE=$(BASE) --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) \
		--tag $(IMAGE) .

# ---- demonstration ----

.PHONY: demo-outage
demo-outage: $(STAMP)
	@$(BIN)/python -m examples.outage $(ARGS)

# ---- proofs: each starts a product and containers of its own, and removes them ----

.PHONY: faults prove-faults prove-outages prove-fleet prove-checklist soak fuzz
faults: $(DEV_STAMP)
	@$(BIN)/python -m tests.faults $(ARGS)

prove-faults: $(DEV_STAMP)
	@$(BIN)/python -m tests.proof faults $(ARGS)

prove-outages: $(DEV_STAMP)
	@$(BIN)/python -m tests.proof outages $(ARGS)

prove-fleet: $(DEV_STAMP)
	@$(BIN)/python -m tests.deploy.prove $(ARGS)

prove-checklist: $(DEV_STAMP)
	@$(BIN)/python -m pytest -q tests/operations/test_checklist_walk.py $(ARGS)

soak: $(DEV_STAMP)
	@$(BIN)/python -m tests.proof soak $(ARGS)

fuzz: $(DEV_STAMP)
	@$(BIN)/python -m tests.fuzz $(ARGS)
