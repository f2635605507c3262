# `make run` serves, `make demo` shows the service at work, `make test` checks everything.

PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help run demo test lint faults strangers bench scale spark template mutate tools audit lock clean

help: ## show this
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' $(MAKEFILE_LIST) | expand -t 12

run: $(BIN)/.run .env ## start the service on a local archive, on this machine only [PORT=3001]
	@BIND_HOST=127.0.0.1 exec sh -c "exec $$(sed -n 's/^web: //p' Procfile)"

demo: $(BIN)/.dev ## send events through the service and query the archive [EVENTS=folder]
	@echo "Starting the service on an archive of its own; the events and queries follow …"
	@python -m examples $(if $(EVENTS),--events "$(EVENTS)")

test: lint ## lint, types and all tests [TESTS=folder]
	pytest -n 4 --dist loadfile --no-loadscope-reorder $(TESTS)

lint: $(BIN)/.dev ## lint and types
	ruff check .
	ruff format --check .
	bandit --quiet --recursive webhook_app wsgi.py gunicorn.conf.py
	mypy
	lint-imports --no-cache

faults: $(BIN)/.dev ## every fault of the archive and of processes against the service [SECONDS=5]
	python -m tests.bench.faults $(if $(SECONDS),--seconds $(SECONDS) --outage-seconds $(SECONDS))
	python -m tests.bench.overload $(if $(SECONDS),--seconds $(SECONDS))

strangers: $(BIN)/.dev ## slow and hostile clients by the hundred against the service [SECONDS=30]
	python -m tests.bench.strangers $(if $(SECONDS),--seconds $(SECONDS))

bench: $(BIN)/.dev ## CPU, latency, throughput and memory of the service, in tables and pictures [SECONDS=3]
	python -m tests.bench.performance $(if $(SECONDS),--seconds $(SECONDS))
	pytest tests/benchmarks/test_stages.py --benchmark-enable --benchmark-timer=time.process_time \
		--benchmark-max-time=0.3 --benchmark-group-by=param:stage_of --benchmark-sort=min \
		--benchmark-columns=min,median,rounds --quiet

scale: $(BIN)/.dev ## what the archive's tools take on a large archive [EVENTS=1000000]
	python -m tests.bench.scale $(if $(EVENTS),--events $(EVENTS))

spark: $(BIN)/.dev ## the archive's tools on PySpark in local mode against themselves; needs a JRE [EVENTS=20000]
	@test -d .bench/spark || pip install --quiet --target .bench/spark pyspark
	PYTHONPATH=.bench/spark python -m tests.bench.spark $(if $(EVENTS),--events $(EVENTS))

template: $(BIN)/.dev ## write the queries of deploy/athena into the CloudFormation template
	python -m deploy.template

mutate: $(BIN)/.dev ## change every leaf of both templates and count the changes that the tests notice
	python -m tests.infrastructure.mutate

tools: $(BIN)/.tools ## install what `flask archive` needs, and the script stripe-archive

audit: $(BIN)/.dev ## known vulnerabilities of what the service runs on; asks a public database
	pip-audit --strict --disable-pip --require-hashes --requirement requirements/tools.txt

lock: $(BIN)/.dev ## pin the newest versions that the .in files allow, with hashes
	$(LOCK) requirements/service.in -o requirements.txt
	$(LOCK) requirements/service.in requirements/tools.in -c requirements.txt -o requirements/tools.txt
	$(LOCK) requirements/dev.in -o requirements/dev.txt

clean: ## remove the environment and what runs and tests left behind; an archive stays
	rm -rf .venv .demo .bench .mypy_cache .ruff_cache .pytest_cache .hypothesis

LOCK := uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

# a secret of its own for every checkout: one that stands in a public file protects nothing
.env:
	@secret=whsec_$$(python -c "import secrets; print(secrets.token_hex(16))") && \
		umask 077 && sed "s/whsec_replace_me/$$secret/" .env.example > .env
	@echo "Made .env with a signing secret for development."

# one that lacks pip is the rest of a failed or interrupted try; a new one fails whole, too
$(BIN)/.made:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed: make PYTHON=python3.12 …')"
	@$(BIN)/pip --version >/dev/null 2>&1 || { \
		echo "Making the environment .venv …"; rm -rf .venv; \
		$(PYTHON) -m venv .venv >/dev/null && $(BIN)/pip --version >/dev/null; } || { rm -rf .venv; \
		echo "$(PYTHON) -m venv failed. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@touch $@

$(BIN)/.run: requirements.txt | $(BIN)/.made
	@echo "Installing the service's packages into .venv, about 15 s …"
	@$(INSTALL) -r requirements.txt
	@touch $@

$(BIN)/.dev: requirements/dev.txt | $(BIN)/.made
	@echo "Installing the packages of the service, its tools and its tests into .venv, about a minute …"
	@$(INSTALL) -r requirements/dev.txt
	@$(INSTALL_SCRIPT)
	@touch $@ $(BIN)/.run $(BIN)/.tools

$(BIN)/.tools: requirements/tools.txt | $(BIN)/.made
	@echo "Installing the packages of \`flask archive\` into .venv, about 30 s …"
	@$(INSTALL) -r requirements/tools.txt
	@$(INSTALL_SCRIPT)
	@touch $@ $(BIN)/.run

INSTALL = $(BIN)/python -m pip install --quiet --require-hashes

# in place: the script runs the code of this folder
INSTALL_SCRIPT = PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --no-deps --no-index --no-build-isolation --editable .
