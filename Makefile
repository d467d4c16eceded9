# People and CI use the same targets; `make help` lists them. Each target installs and reports missing dependencies:
# Debian packages with .ci/install, tools that are not in Debian in .venv, and those for the browser with npm.

PYTHON := /usr/bin/python3
# Independent of the environment of the caller: no plugins, paths or startup files from there.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTEST_ADDOPTS VIRTUAL_ENV

# A single Debian release, a single test, or a machine that is kept for the next run: see tests/system/README.md.
SUITE ?= all
TEST ?=
KEEP ?=
# Number of test processes: two for each core by default, because many tests wait; JOBS=0 runs the tests in one process,
# with live output.
JOBS ?= $(shell expr 2 '*' $$(nproc))
# The same order of sets in all processes of a run: pytest-xdist requires identical test names.
export PYTHONHASHSEED := 0

SCRIPTS := .ci/install .ci/run .ci/build-package tests/system/run completions/bash/monitord completions/bash/monitorctl
MANUAL := $(wildcard docs/man/*.[158])

.DEFAULT_GOAL := help
.PHONY: help run cluster-demo test test-fast test-newest browser-test mutants lint lint-manual format docs manual rdap images system-test bench deb clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

run: ## run the daemon in the foreground with an example configuration
	@.ci/install --depends
	@$(PYTHON) etc/examples/demo.py

cluster-demo: ## run three locations with PostgreSQL, and show what happens when parts of it fail (ONCE=1: then end)
	@.ci/install --depends postgresql python3-psycopg
	@$(PYTHON) etc/examples/cluster/cluster_demo.py $(if $(ONCE),--once)

test: ## run the tests with Debian's libraries
	@.ci/install --build-depends mariadb-server postgresql prometheus prometheus-alertmanager python3-grpcio redis-server
	@$(PYTHON) -m pytest --numprocesses=$(JOBS) tests

test-fast: ## run the tests that start no processes and do not wait
	@.ci/install --build-depends
	@$(PYTHON) -m pytest --quiet --numprocesses=$(JOBS) -m 'not slow' tests

test-newest: .venv-newest/.done ## run the same tests with the newest libraries
	@PYTHONHASHSEED=1 .venv-newest/bin/python -m pytest --numprocesses=$(JOBS) tests -p no:cacheprovider

browser-test: tests/browser/node_modules/.done ## use the pages in Chromium (npm fetches two packages)
	@.ci/install --build-depends chromium
	@timeout 600 node --test --test-reporter=spec tests/browser/*.test.mjs

mutants: .venv-mutants/.done ## run mutation tests and list the surviving mutants (COMPONENT=conditions)
	@$(PYTHON) .ci/mutants.py $(COMPONENT)

lint: .venv/.done ## ruff, mypy, import rules, language, shell scripts, manual pages, the unit's exposure
	@.ci/install --build-depends shellcheck groff mandoc systemd
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy monitord tests $(wildcard bench/*.py docs/man/*.py etc/examples/*.py etc/examples/*/*.py)
	$(PYTHON) -m pytest -q tests/test_layers.py
	$(PYTHON) .ci/language.py
	shellcheck --shell=bash $(SCRIPTS)
	@! grep -nE '^  .{79}' debian/changelog  # lintian reports a long line only after the builds
	@! grep -nE '.{500}' monitord/status/pages/templates/*.html  # lintian treats such a line as code without source
	systemd-analyze security --offline=true --no-pager --threshold=11 systemd/monitord.service >/dev/null
	@$(MAKE) --no-print-directory lint-manual

format: .venv/.done ## format the code and sort its imports
	.venv/bin/ruff check --select I --fix
	.venv/bin/ruff format

docs: .venv-docs/.done ## build the documentation as HTML in build/docs; a broken link is an error
	@.ci/install mandoc
	@.venv-docs/bin/mkdocs build

lint-manual:
	@for page in $(MANUAL); do \
		echo "groff and mandoc $$page"; \
		said=$$(groff -t -man -ww -z -Tutf8 -K utf8 "$$page" 2>&1; mandoc -Tlint -W warning "$$page"); \
		if [ -n "$$said" ]; then echo "$$said"; exit 1; fi; \
	done

manual: ## regenerate the derived parts of the manual and the guide
	@$(PYTHON) docs/man/make_reasons.py
	@$(PYTHON) -m tests.public_names
	@$(PYTHON) -m tests.docs.renew

rdap: ## update the list of RDAP servers from IANA, before a release
	@curl --fail --silent --show-error --output monitord/net/registry/dns.json https://data.iana.org/rdap/dns.json
	@$(PYTHON) -m pytest --quiet tests/net/registry/test_bootstrap.py

images: ## regenerate the images in the README (in Chromium)
	@.ci/install --build-depends chromium
	@$(PYTHON) -m tests.docs.images

system-test: ## install the package in booted Debian 12 and 13 (root; SUITE= TEST= KEEP=1)
	@.ci/install mmdebstrap systemd-container debian-archive-keyring dpkg-dev git iproute2 \
		python3-pytest python3-pytest-timeout python3-pytest-xdist
	@tests/system/run --suite '$(SUITE)' --test '$(TEST)' $(if $(KEEP),--keep)

bench: ## run all benchmarks, including comparisons with other programs
	@$(PYTHON) bench/run.py

deb: ## build the Debian packages into dist/
	@.ci/install --build-depends
	@.ci/build-package dist

clean: ## remove the output of the other targets
	rm -rf --one-file-system .venv .venv-docs .venv-mutants .venv-newest tests/browser/node_modules .cache dist build .pybuild .mypy_cache .ruff_cache .pytest_cache ./*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Node.js includes npm if it does not come from Debian.
tests/browser/node_modules/.done: tests/browser/package-lock.json
	@command -v npm >/dev/null || .ci/install nodejs npm
	@echo 'install: playwright-core and axe-core in tests/browser (npm)'
	@cd tests/browser && npm ci --silent
	@touch $@

# The tools use Debian's libraries, so that mypy checks against the versions that the daemon runs with.
.venv/.done: requirements-lint.txt
	@.ci/install --build-depends python3-venv
	@echo 'install: ruff and mypy in .venv (pip)'
	@rm -rf .venv
	@$(PYTHON) -m venv --system-site-packages .venv
	@.venv/bin/pip install --quiet --disable-pip-version-check -r requirements-lint.txt
	@touch $@

.venv-mutants/.done: requirements-mutants.txt
	@.ci/install --build-depends python3-venv
	@echo 'install: mutmut in .venv-mutants (pip)'
	@rm -rf .venv-mutants
	@$(PYTHON) -m venv --system-site-packages .venv-mutants
	@.venv-mutants/bin/pip install --quiet --disable-pip-version-check -r requirements-mutants.txt
	@touch $@

.venv-docs/.done: requirements-docs.txt
	@.ci/install python3-venv
	@echo 'install: mkdocs in .venv-docs (pip)'
	@rm -rf .venv-docs
	@$(PYTHON) -m venv .venv-docs
	@.venv-docs/bin/pip install --quiet --disable-pip-version-check -r requirements-docs.txt
	@touch $@

.venv-newest/.done: requirements-newest.txt
	@.ci/install python3-venv dbus-daemon dnsmasq-base lighttpd gcc libsystemd-dev pkgconf python3-dev
	@echo 'install: the newest aiohttp, httptools, … in .venv-newest (pip)'
	@rm -rf .venv-newest
	@$(PYTHON) -m venv .venv-newest
	@.venv-newest/bin/pip install --quiet --disable-pip-version-check -r requirements-newest.txt
	@touch $@
