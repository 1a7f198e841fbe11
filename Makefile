# Correctly: two commands, `make up` and `make test`; the others are parts of them or measure.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
PY := $(VENV)/bin/python
# cpu (default) or gpu: which build of vLLM is installed.
ACCELERATOR ?= cpu
BENCHES := loop train data serve soak score reasons week
# Tests that start real parts run with loopback as their only network: nothing may come from a hub.
OFFLINE := bash deploy/offline.sh $(PY)

.PHONY: help install tools up test test-fast test-full test-system lint $(addprefix bench-,$(BENCHES)) bench-growth starter-adapter starter-answers lock clients audit

help: ## this page
	@grep -hE '^[a-z][a-z-]*:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14
	@echo "bench-NAME    one of: $(BENCHES) growth"

install: $(VENV)/.installed-$(ACCELERATOR) .venv-webui/.installed ## .venv with what the platform needs, pinned, Open WebUI's own, and the embedded model converted
	@$(PY) -m correctly_assets.cli prepare

$(VENV)/.installed-$(ACCELERATOR): deploy/requirements-$(ACCELERATOR).lock pyproject.toml deploy/install.sh
	@bash deploy/install.sh $(VENV) $(ACCELERATOR)
	@touch $@

.venv-webui/.installed: deploy/requirements-webui.lock deploy/install.sh
	@bash deploy/install.sh .venv-webui webui
	@touch $@

# The tests' tools, on top of what the platform needs: no production has them.
$(VENV)/.installed-test: deploy/requirements-test.lock $(VENV)/.installed-$(ACCELERATOR)
	@$(PY) -m pip --disable-pip-version-check install -q --no-deps --require-hashes -r $<
	@touch $@

# The program behind CORRECTLY_DVC_REMOTE, for the tests that run it.
.venv-dvc/.installed: correctly_assets/workflows/version_data.py deploy/install.sh
	@bash deploy/install.sh .venv-dvc dvc
	@touch $@

tools: install $(VENV)/.installed-test ## what the tests and `make lint` need beside it

up: install ## the whole platform in the foreground; Ctrl-C stops it
	@$(VENV)/bin/correctly up

test-system: ## what the tests need from Debian (chromium, postgresql)
	@bash deploy/test-system.sh

lint: tools ## ruff, types, and the layers
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/basedpyright && $(VENV)/bin/lint-imports

test: test-system tools lint ## everything the CI runs, from a fresh clone
	@$(OFFLINE) $(PY) -m pytest -p no:cacheprovider correctly_tests -m "not full"

test-fast: tools ## the inner loop: no model, under two minutes
	@$(PY) -m pytest -p no:cacheprovider correctly_tests/unit correctly_tests/defs -m "not model and not slow and not full"

# What deploy/examples need on top of .venv: packages in a folder, with the pins of .venv left as they are.
.venv-kubernetes/.installed .venv-ray/.installed: .venv-%/.installed: deploy/examples/%/requirements.txt | $(VENV)/.installed-$(ACCELERATOR)
	@rm -rf .venv-$*
	@$(PY) -m pip --disable-pip-version-check install -q --no-deps --require-hashes --target .venv-$* -r $<
	@touch $@

test-full: test-system tools .venv-dvc/.installed .venv-kubernetes/.installed .venv-ray/.installed ## soak, the real `dvc` program and deploy/examples too; writes docs/faults.md
	@$(OFFLINE) $(PY) -m pytest -p no:cacheprovider correctly_tests --faults-page docs/faults.md

$(addprefix bench-,$(BENCHES)): bench-%: install
	@$(PY) -m benchmarks.bench_$*

bench-train: $(VENV)/.installed-bench

$(VENV)/.installed-bench: deploy/requirements-bench.lock $(VENV)/.installed-$(ACCELERATOR)
	@$(PY) -m pip --disable-pip-version-check install -q --no-deps --require-hashes -r $<
	@touch $@

bench-growth: install ## how training's time and memory grow with batch size and length
	@$(PY) -m benchmarks.bench_train --part growth

starter-adapter: $(VENV)/.installed-starter ## train the adapter that ships, for hours; stop and start it as you like
	@$(PY) -m correctly_assets.commands.make_starter

$(VENV)/.installed-starter: deploy/requirements-starter.lock install
	@$(PY) -m pip --disable-pip-version-check install -q --no-deps --require-hashes -r $<
	@touch $@

starter-answers: install ## have the base model and the shipped adapter answer the frozen set, after a change of the correction path
	@$(PY) -m correctly_assets.commands.make_starter answers

clients: .venv-clients/.installed ## the clients that `make test-full` runs against the gateway

.venv-clients/.installed: deploy/requirements-clients.txt
	@$(PY) -m venv .venv-clients
	@.venv-clients/bin/pip --disable-pip-version-check install -q -r $<
	@! command -v npm > /dev/null || npm install --silent --no-audit --no-fund --prefix .venv-clients openai@6.49.0
	@touch $@

lock: ## write the pins of the environment as it is, with their hashes
	@bash deploy/lock.sh $(VENV) cpu
	@bash deploy/lock.sh .venv-webui webui
	@bash deploy/lock.sh $(VENV) test
	@bash deploy/lock.sh $(VENV) bench
	@bash deploy/lock.sh $(VENV) gpu

audit: ## known vulnerabilities of what is pinned; says so where the database cannot be reached
	@bash deploy/audit.sh .venv-audit
