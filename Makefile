# Two commands for a fresh machine: make demo, make test.
# make test-quick leaves out lint, types and what is marked slow; both use WORKERS=2 processes.
# make docs builds the documentation in site/; make dist the sdist and the wheel in dist/, which
# make test-dist tries in a new environment, and make test-lowest with the lowest versions allowed.
# make fuzz reads damaged image files, 50,000 or N=...; what does harm is kept in fuzz-found/.
PYTHON ?= python3
BIN := .venv/bin
N ?= 50000
WORKERS ?= 2
READY := .venv/ready
BUILD := $(BIN)/pyproject-build
PIP := $(BIN)/python -m pip install --quiet

# Where bytecode is not kept, every process of the tests compiles the tests and us anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test test-quick fuzz lint docs dist test-dist test-lowest clean

setup: $(READY)

# What builds the packages comes first: make dist does not wait for the rest.
$(BUILD):
	$(PYTHON) -m venv .venv
	$(PIP) --constraint constraints.txt build

$(READY): pyproject.toml benchmarks/pyproject.toml training/pyproject.toml constraints.txt | $(BUILD)
	$(PIP) --constraint constraints.txt --editable '.[dev,docs]' --editable ./benchmarks --editable ./training
	# An oracle of the tests; its metadata ask for torchvision, which its denoisers do not need.
	$(PIP) --no-deps azula==0.11.1 einops==0.8.2
	touch $@

demo: $(READY)
	$(BIN)/python docs/demo.py pair demo
	$(BIN)/fusionkit run demo/near.png demo/far.png -o demo/fused.png --task multi-focus --overwrite
	$(BIN)/python docs/demo.py picture demo
	@echo "See demo/fused.png, and demo/comparison.png beside its sources."

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Tests that share what is dear to make go to one process: --dist loadgroup.
test: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

test-quick: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "not slow"

fuzz: $(READY)
	$(BIN)/python -m tests.fuzz -n $(N)

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --clean

dist: $(BUILD)
	rm -rf dist
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m build

test-dist: dist
	PYTHON=$(PYTHON) .ci/try-dist constraints.txt

test-lowest: dist
	$(BIN)/python .ci/lowest.py > .venv/lowest.txt
	PYTHON=$(PYTHON) .ci/try-dist .venv/lowest.txt

clean:
	rm -rf .venv build demo dist site *.egg-info benchmarks/*.egg-info training/*.egg-info .mypy_cache .ruff_cache .pytest_cache
