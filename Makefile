# bayeslaw: the commands of a day.  `make demo` and `make test` need only git, make and Python >= 3.11.

# The first interpreter that is new enough, unless PYTHON names one.
PYTHON ?= $(shell for p in python3 python3.12 python3.11 python3.13; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# Two processes; the tests of one file stay together and share what they fit.
PYTEST := $(BIN)/pytest -n 2 --dist loadfile
OUT ?= demo
# Python 3.12, where there is one: on the path, or of pyenv.
PYTHON312 ?= $(shell for p in python3.12 $$(ls -d $$(pyenv root 2>/dev/null)/versions/3.12*/bin/python3.12 \
  $$HOME/.pyenv/versions/3.12*/bin/python3.12 2>/dev/null); do \
  $$p -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null && echo $$p && break; done)

.PHONY: demo test coverage test-fast test-long test-extras calibrate lint types bench bench-speed sweep docs fuzz wheel py312 clean help
help:
	@echo "make demo       fit the bundled sweep, forecast, plan"
	@echo "make test       lint, types and all tests"
	@echo "make coverage   the tests, and what they leave out"
	@echo "make test-fast  the tests that take under three minutes together"
	@echo "make test-long  tests of more than half a minute, wheels, notebooks, the loop with training"
	@echo "make test-extras  tests that need ray, transformers, datasets and lm_eval, which it installs"
	@echo "make calibrate  simulation-based calibration of every law (a quarter of an hour)"
	@echo "make fuzz       more than 10 000 spoilt files, other ones each time"
	@echo "make docs       the documents as pages, warnings are errors"
	@echo "make wheel      the wheel, built, installed and used from elsewhere"
	@echo "make py312      the same on Python 3.12 without torch; skipped where there is none"
	@echo "make bench      time and error beside other tools, one table of ratios"
	@echo "make bench-speed  fits, their growth, plans and tables, each on its own"
	@echo "make sweep      train the bundled sweep again (about ten minutes on two cores)"

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "bayeslaw needs Python >= 3.11; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv

# Stamps: installing happens once, and again only when the requirements change.
.venv/core.stamp: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -e .
	@touch $@

.venv/dev.stamp: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) "$$(grep '^torch==' constraints.txt)"
	$(PIP) -e '.[dev]'
	@touch $@ .venv/core.stamp

demo: .venv/core.stamp
	@mkdir -p $(OUT)
	$(BIN)/bayeslaw fit runs/quickstart.csv --out $(OUT)/posterior.nc
	$(BIN)/bayeslaw check $(OUT)/posterior.nc --plots $(OUT)/plots
	$(BIN)/bayeslaw forecast $(OUT)/posterior.nc --params 400k --pretrain-tokens 20M --specialize-tokens 4M
	$(BIN)/bayeslaw plan $(OUT)/posterior.nc --flops 1e14 --out $(OUT)/plan.json
	@echo "wrote: $(OUT)/posterior.nc $(OUT)/plan.json $(OUT)/plots/"; ls $(OUT)/plots

lint: .venv/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/dev.stamp
	$(BIN)/mypy

# Two thirds of a cold run of the planner's tests is compiling: compile fast, and run slower.
QUICK := --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false --xla_llvm_disable_expensive_passes=true

test: lint types
	XLA_FLAGS="$(QUICK)" $(PYTEST)

coverage: .venv/dev.stamp
	XLA_FLAGS="$(QUICK)" $(PYTEST) --cov --cov-report=term

test-fast: .venv/dev.stamp
	$(PYTEST) -m 'not slow and not sbc and not long'

test-long: .venv/dev.stamp
	$(PYTEST) -m long

# What the suite skips where Ray, Hugging Face's libraries and lm_eval are not installed.
test-extras: .venv/dev.stamp
	$(PIP) -e '.[ray,hf,eval]'
	$(BIN)/pytest -m '' tests/sweep/test_execute.py tests/train/test_export.py tests/train/test_start.py \
	  tests/corpus/test_folder.py tests/evaluate/test_harness.py

calibrate: .venv/dev.stamp
	$(PYTEST) -m sbc tests/test_calibrate.py tests/accuracy --dist load

bench: .venv/dev.stamp
	BENCH_PYTHONS="$(PYTHON312)" $(BIN)/python bench/table.py

bench-speed: .venv/dev.stamp
	$(BIN)/python bench/fit.py
	$(BIN)/python bench/scale.py
	$(BIN)/python bench/plan.py
	$(BIN)/python bench/runs.py

docs: .venv/dev.stamp
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs
	@echo "wrote: build/docs/index.html"

fuzz: .venv/dev.stamp
	BAYESLAW_FUZZ=6 $(PYTEST) tests/test_fuzz.py --dist load

wheel: .venv/dev.stamp
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	$(BIN)/python -m pytest -q -m '' tests/test_wheel.py

py312:
	@if [ -z "$(PYTHON312)" ]; then \
	  echo "skipped: no Python 3.12 here; set PYTHON312=/path/to/python3.12"; \
	else .ci/py312 "$(PYTHON312)"; fi

sweep: .venv/dev.stamp
	$(BIN)/bayeslaw sweep runs/quickstart/sweep.toml

clean:
	rm -rf .venv .venv312 build dist demo .mypy_cache .pytest_cache .ruff_cache .coverage*
