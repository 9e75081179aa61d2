# Each does all of its set-up, on Debian with root's rights or sudo the system's packages too.
# make demo          segment a real slide; results in demo/
# make test          all tests: fast ones, the Girder plugin, the real stack (skipped without Docker)
# make check         format, lint, types, contracts and the tests of less than a second
# make pictures      take the pictures of the docs anew
# make histomicsui   the whole real stack on this machine, with the slide and the model in it
PYTHON ?= python3
PORT ?= 8080
# Processes that run fast tests; each that meets TensorFlow takes some 3 GB.
WORKERS ?= 2
PARALLEL := -n $(WORKERS) --dist worksteal
# Fast tests to run: make test-fast TESTS=tests/slides
TESTS ?= tests
VENV := .venv/bin
PIP := $(VENV)/pip install --quiet --disable-pip-version-check
STACK := PYTHONPATH=docker $(PYTHON) -m local_stack --port $(PORT)

.PHONY: env env-test demo test test-fast test-plugin test-plugin5 test-stack pictures lint check histomicsui histomicsui-stop clean

env: .venv/.installed

env-test: .venv/.installed-test

.venv/.installed: setup.py
	PYTHON=$(PYTHON) docker/install_missing run
	$(PYTHON) -m venv .venv
	$(PIP) -e ".[cpu]"
# Features are HistomicsTK's, without what it requires for slides and for work that we do not do.
	$(PIP) --no-deps histomicstk==1.4.0
	@touch $@

.venv/.installed-test: .venv/.installed
# Without it the tests that look at system calls are skipped and say so; in CI they fail.
	PYTHON=$(PYTHON) docker/install_missing test || true
	$(PIP) -e ".[test]"
# Of the server's annotation package the tests only take the schema; it requires a whole Girder.
	$(PIP) --no-deps girder-large-image-annotation==1.35.6
	@touch $@

demo: env
	slide=$$($(STACK) slide) && $(VENV)/deeplab segment "$$slide" \
	  --model deeplab/demonstration/nuclei_instances.zip --annotation demo/nuclei.anot \
	  --geojson demo/nuclei.geojson --overlay demo/nuclei.png --table demo/nuclei.csv

test: test-plugin test-plugin5 test-stack test-fast

test-fast: env-test
	$(VENV)/pytest -m "not stack" $(PARALLEL) --durations 30 $(TESTS)

# Girder and TensorFlow do not share an environment, so the plugin has its own run.
test-plugin: env
	PYTHON=$(PYTHON) docker/install_missing plugin
	$(STACK) environment
	.stack/venv/bin/python -m pytest -c plugin/pyproject.toml $(PARALLEL) --confcutdir tests/plugin tests/plugin

# The same on Girder 5. MongoDB is in the environment of the other.
test-plugin5: env
	PYTHON=$(PYTHON) docker/install_missing plugin
	$(STACK) environment
	$(STACK) environment5
	.stack/venv5/bin/python -m pytest -c plugin/pyproject.toml $(PARALLEL) --confcutdir tests/plugin tests/plugin

# Without a daemon, a broker or a browser they are skipped and say so; in CI they fail.
test-stack: env-test
	PYTHON=$(PYTHON) docker/install_missing stack || true
	docker/with_docker $(VENV)/pytest -m stack tests/stack

# The pictures of the docs, as a test sees what they show.
pictures: env-test
	PYTHON=$(PYTHON) docker/install_missing stack || true
	WRITE_PICTURES=1 docker/with_docker $(VENV)/pytest -m stack tests/stack/test_main_path.py

lint: env-test
	$(VENV)/ruff format --check .
	$(VENV)/ruff check .
	$(VENV)/mypy
	$(VENV)/lint-imports
	$(VENV)/typos

check: lint
	$(VENV)/pytest -q -m "not stack and not slow" $(PARALLEL)

histomicsui: env
	PYTHON=$(PYTHON) docker/install_missing stack
	$(STACK) up

histomicsui-stop:
	$(STACK) down

clean:
	rm -rf .venv .stack demo build dist *.egg-info
