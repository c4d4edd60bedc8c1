# Each target sets up what it needs. Only Python 3.11 or newer and make must be there.

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-stack check relock reference audit release chaos
.PHONY: bench bench-database bench-delivery bench-rendering bench-api bench-streams bench-cookbook

UV := $(shell uv --version >/dev/null 2>&1 && command -v uv || echo .tools/bin/uv)
PYTHON := .venv/bin/python
TESTS_OF_CHECK := tests/test_links.py tests/test_repository.py tests/test_stack_files.py

help: ## List these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

setup: | $(UV) ## Install what the other targets use, into .venv
	@$(UV) sync --locked --all-groups --quiet

demo: setup ## Render a service, start it, queue a task, show its states; DEST=folder, DEMO_EXIT=1 to end after it
	@$(PYTHON) scripts/demo.py

test: setup ## Render services and run them: all but the slow tests, those in containers, and those of make check
	$(PYTHON) -m pytest --numprocesses 3 --dist loadfile -m "not slow and not stack" $(TESTS_OF_CHECK:%=--ignore=%)

test-slow: setup ## Only the slow tests
	$(PYTHON) -m pytest --numprocesses 2 --dist loadfile -m slow

test-stack: setup ## Services in containers: first start, browser, production, faults; needs Docker and chromium
	$(PYTHON) -m pytest -m stack -s

check: setup ## Style, types, spelling, images, shell, workflows and links of everything here
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy
	cd template && ../$(PYTHON) -m ruff check && ../$(PYTHON) -m ruff format --check && ../$(PYTHON) -m mypy
	git ls-files -z --cached --others --exclude-standard | xargs -0 .venv/bin/codespell
	$(PYTHON) -m pytest -q $(TESTS_OF_CHECK)

relock: | $(UV) ## Renew uv.lock and hooks/locks after a change of dependencies; UPGRADE=1 for the newest versions
	$(UV) lock $(if $(UPGRADE),--upgrade)
	$(UV) sync --locked --all-groups --quiet
	PYTHONPATH=tests $(PYTHON) hooks/relock.py $(if $(UPGRADE),--upgrade)

reference: setup ## Write docs/reference/files.md anew, and the counts in README.md
	$(PYTHON) tests/reference.py

audit: setup ## Known vulnerabilities and licences of all that services install; REQUIRED=1: fail without advisories
	REQUIRED=$(REQUIRED) PYTHONPATH=tests $(PYTHON) scripts/audit.py $(OPTIONS)

release: setup ## Check everything, then date the changelog, commit and tag: make release VERSION=1.2.0
	@$(PYTHON) scripts/release.py "$(VERSION)"

chaos: setup ## Break what background work stands on, and count what becomes of the tasks, beside plain Celery
	PYTHONPATH=tests $(PYTHON) -m chaos $(OPTIONS)

bench: bench-database bench-delivery bench-rendering bench-api bench-streams bench-cookbook ## All benchmarks

bench-database: setup ## Database tasks per second, beside other designs on the same servers
	PYTHONPATH=tests $(PYTHON) benchmarks/database_tasks.py $(OPTIONS)

bench-delivery: setup ## What leases and records cost, beside kombu's own transport on the same server
	PYTHONPATH=tests $(PYTHON) benchmarks/delivery.py $(OPTIONS)

bench-api: setup ## The task API beside what tutorials show, on the same servers; needs wrk
	PYTHONPATH=tests $(PYTHON) benchmarks/task_api.py $(OPTIONS)

bench-rendering: setup ## Rendering time, beside cookiecutter on the same tree
	PYTHONPATH=tests $(PYTHON) benchmarks/rendering_time.py $(OPTIONS)

bench-streams: setup ## Memory and connections of the API with 1,000 streams of events open, and after they were closed
	PYTHONPATH=tests $(PYTHON) benchmarks/event_streams.py $(OPTIONS)

bench-cookbook: setup ## Time and memory of the recipes that are about much, beside how they are often written
	PYTHONPATH=tests $(PYTHON) benchmarks/cookbook.py $(OPTIONS)

.tools/bin/uv:
	python3 -m venv .tools
	.tools/bin/pip install --quiet uv
