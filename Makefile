# Everything runs in .venv, made here when it is absent or older than the lock file.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
UV_VERSION := 0.13.9
# Importing the other test files takes each of pytest's processes many seconds.
RAY_TESTS = $(shell grep -rl --include='test_*.py' 'pytest\.mark\.ray' tests | sort)

.PHONY: demo test test-fast fuzz check docs audit cluster-test chaos mutation bench bench-gpu gpu-check \
	mlflow-server lock clean

demo: $(READY)  ## Run the demonstration: simulate, ingest, sweep, transfer, analyse, report.
	$(BIN)/python -m orchestrator.demo

test: $(READY)  ## Pass every test.
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not ray and not cluster"
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "ray and not cluster" $(RAY_TESTS)

test-fast: $(READY)  ## The unit tests: no Ray, no slow ones.
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder \
		-m "not ray and not slow and not cluster"

fuzz: $(READY)  ## 2,000 mutated manifests, outcomes, frozen files and search spaces.
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest -o timeout=3600 tests/orchestrator/sweep/test_fuzzed_inputs.py

check: $(READY)  ## Format, lint, types, layers.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than Python 3.11; run: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $(READY)

docs: $(READY)  ## Build the documentation's site, with its notebooks, into docs/_build/html.
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

audit: $(READY)  ## Look every dependency of the lock file up among known vulnerabilities.
	$(BIN)/pip-audit --disable-pip --require-hashes --progress-spinner off -r requirements.lock

cluster-test: $(READY)  ## A sweep over three hosts by the real `ray up`; needs root and sshd.
	$(BIN)/python -m pytest -m cluster -rs

chaos: $(READY)  ## Fifty faults, meant to be run nightly, and the table of docs/reliability.md.
	$(BIN)/python -m tests.faults.storm --faults 50

mutation: $(READY)  ## List small faults that no test notices; ONLY='trainables.models.losses*' SAMPLE=1000.
	$(BIN)/python -m tests.mutation $(if $(ONLY),'$(ONLY)') $(if $(SAMPLE),--sample $(SAMPLE))

bench: $(READY)  ## Ratios to what one would use instead; fails when one has fallen.
	$(BIN)/python -m benchmarks.suite --baseline benchmarks/baseline.json

bench-gpu:  ## What a GPU makes of a sweep; of Python's packages it needs PyTorch's and scikit-learn.
	$(PYTHON) -m benchmarks.gpu

gpu-check:  ## Whether a GPU computes what a CPU does, and each step's time, at NSD's size.
	$(PYTHON) -m benchmarks.gpu_check

mlflow-server: $(READY)  ## Serve MLflow with passwords, on PostgreSQL, until Ctrl-C.
	$(BIN)/python -m orchestrator.mlflow_server

lock: $(READY)  ## Resolve the dependencies anew.
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --upgrade \
		--python-version 3.11 --extra dev pyproject.toml --output-file requirements.lock

clean:  ## Remove the environment, the demonstration and every cache.
	rm -rf .venv demo docs/_build mutants mlruns mlflow.db* build *.egg-info .pytest_cache .mypy_cache \
		.ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
