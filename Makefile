# make run    the main job on config.yaml       make test   everything that CI checks
# Both set the environment up first. CONFIG=workflow/presets/tiny.yaml runs a preset, CORES=8 sets the cores,
# TARGETS='results/report.html' makes these files only.

PYTHON ?= python3
CORES ?= all
CONFIG ?=
TARGETS ?=
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
unexport PYTHONDONTWRITEBYTECODE # the package is compiled once, not by each of a run's many jobs

.PHONY: run test test-slurm chaos lint lock docs docs-numbers site clean

run: .venv/installed
	python workflow/scripts/unlock.py
	snakemake $(if $(CONFIG),--configfile '$(CONFIG)') --cores $(CORES) --rerun-incomplete $(TARGETS)

# The files of tests are spread over workers in the order that tests/conftest.py gives them. A worker is a core: more threads
# of each would only wait for one another.
test: lint
	OMP_NUM_THREADS=1 pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# A real cluster of one node, started and stopped by the tests. As root on Debian it installs SLURM first.
test-slurm: .venv/installed
	command -v slurmctld > /dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends slurm-wlm munge; }
	pytest -m slurm tests/slurm

# A run of the tiny preset that is killed fifty times; CHAOS_SEED=1 draws other moments.
chaos: .venv/installed
	pytest -m chaos -s tests/chaos

lint: .venv/installed
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check Snakefile workflow
	snakemake --lint

.venv/installed: envs/requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	python -m pip install --quiet --disable-pip-version-check -r envs/requirements.lock
	python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

# Resolve the dependencies; write the lock and the conda environment.
# Present versions are kept; UPGRADE=1 takes the newest of every package but torch.
UPGRADE ?=
lock:
	$(PYTHON) workflow/scripts/lock.py $(if $(UPGRADE),--upgrade)

# Files that are generated from the code.
docs: .venv/installed
	rosetta config-reference > docs/configuration.md
	rosetta results-reference > docs/results.md

# The numbers in the documentation, of finished runs with different seeds (workflow/other_seeds.yaml).
RUNS ?=
docs-numbers: .venv/installed
	python workflow/scripts/docs_numbers.py $(RUNS)

# The documentation as a site, in site/; make test builds it too.
site: .venv/installed
	mkdocs build --strict

clean:
	rm -rf site .venv .snakemake .pytest_cache .ruff_cache .hypothesis *.egg-info
