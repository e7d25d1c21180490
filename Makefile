# Every target does its own set-up, in .venv, and nothing twice.

# Tests start hundreds of processes: what one of them has compiled, the others read.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/stamp

EXTENSION := setup.py pyproject.toml $(wildcard src/*) fastdrop/_native.pyx fastdrop/_csrc.pxd
C_FILES := $(wildcard src/*.c)
WARNINGS := -std=c11 -O1 -ffp-contract=off -fno-trapping-math -fno-math-errno -Wall -Wextra -Wpedantic -Wconversion -Werror
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -g -O1
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install --no-compile

.PHONY: help build test test-long fuzz fuzz-long soak bench bench-compare report docs lists lint sanitize dist release-check demo tools clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-13s %s\n", $$1, $$2}' Makefile

build: $(STAMP)-built ## Compile the extension and install fastdrop into .venv, editable

test: $(STAMP)-built ## Run the tests on every backend
	$(BIN)/pytest --numprocesses auto

test-long: $(STAMP)-keras $(STAMP)-torch ## Run the tests that take minutes, and those with Keras or PyTorch
	$(BIN)/pytest --numprocesses 1 -m "long or live"

# Each target has so many seconds, some readers at a time beside the kernels; what fails is printed and kept.
# From one seed, so that what lands does not hang on luck; `fuzz-long`, and the targets themselves, draw anew.
FUZZ_SECONDS ?= 60
FUZZ_JOBS ?= 1
fuzz: $(STAMP)-fuzz ## Give readers damaged files and kernels random calls, FUZZ_SECONDS each
	options="-max_total_time=$(FUZZ_SECONDS) -seed=1 -verbosity=0"; .ci/fuzz-kernels $$options & kernels=$$!; \
	$(BIN)/python fuzz/fuzz.py all --jobs=$(FUZZ_JOBS) $$options && wait $$kernels

fuzz-long: $(STAMP)-fuzz ## The same, a million times
	$(BIN)/python fuzz/fuzz.py all --plain=250000

soak: $(STAMP)-built ## Call every public function a million times, fork a thousand times, and watch memory
	$(BIN)/python tests/soak.py

bench: $(STAMP)-built ## Run the benchmarks
	$(BIN)/pytest benchmarks --benchmark-min-rounds=3

bench-compare: $(STAMP)-codspeed ## Say what has become slower or faster than BASE=revision, beyond noise
	$(BIN)/python -m benchmarks.compare $(BASE) $(OPTIONS)

report: $(STAMP)-bench ## Measure fastdrop beside every other library; write docs/ and the README's table
	$(BIN)/python -m benchmarks.report

docs: lists $(STAMP)-docs ## Build the pages in docs/ into build/docs, warnings being errors
	$(BIN)/python docs/notebooks.py docs/auto_notebooks
	$(BIN)/sphinx-build --builder html --fail-on-warning --keep-going --nitpicky --quiet docs build/docs
	$(BIN)/python docs/check_links.py build/docs

lists: $(STAMP)-built ## Write the lists of supported layers and operators in docs/
	$(BIN)/python docs/layers.py

lint: $(STAMP)-lint ## Check style, types and C warnings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest --mypy-config-file pyproject.toml --ignore-missing-stub fastdrop._native
	PYTHONPATH="$(CURDIR)" $(BIN)/pyright --pythonpath $(BIN)/python --verifytypes fastdrop --ignoreexternal \
	  --outputjson | $(BIN)/python -c "$$TYPES_KNOWN"
	$(BIN)/clang-format --dry-run --Werror $(wildcard src/* fuzz/*.c fuzz/*.h) tests/golden.c
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint fastdrop
	$(BIN)/actionlint
	$(BIN)/zizmor --offline --quiet .github
	@for compiler in "gcc -c -o /dev/null" "clang -fsyntax-only"; do \
	  if command -v $${compiler%% *} > /dev/null; then \
	    echo "$$compiler: C warnings are errors"; \
	    printf '%s\n' $(C_FILES) tests/golden.c | xargs -P 2 -I {} $$compiler $(WARNINGS) {} || exit 1; \
	  else echo "$${compiler%% *}: NOT RUN, it is not installed"; fi; \
	done

# Of the names that users see, and of what they are made of. Those from libraries that are not installed, or
# not typed (PyTorch, scikit-learn), are not known.
define TYPES_KNOWN
import json, sys
score = json.load(sys.stdin)["typeCompleteness"]["completenessScore"]
print(f"Types of public names that are known: {score:.1%}")
sys.exit(score < 0.98 and "expected 98% or more; see pyright --verifytypes fastdrop --ignoreexternal")
endef
export TYPES_KNOWN

# What calls C, on native tiers. Kernels have had guard pages on both sides, and fuzzing has had
# kernels of all kinds with memory of exact size, and portable ones under UBSan. Left out: what measures
# the process or a distribution, what is only long, and layers that call what others call.
SANITIZED := activations bad_input bfloat16 bit_identity dispatch family float_mode layers_rnn \
  masks model pack philox recurrent stepper threads
UNSANITIZED := numpy- or numpy] or ctrl_c or ten_million or distribution or library_that_errs or kept_for_a_window \
  or no_call_of_a_kernel or long_sequences or it_costs_no_more or (portable and \
  (test_recurrent or test_bfloat16 or test_layers_rnn or test_stepper))

sanitize: $(STAMP)-built ## Run the tests with AddressSanitizer and UBSan in the C code
	CC=gcc CFLAGS="$(SANITIZE)" LDFLAGS="$(SANITIZE)" $(BIN)/python setup.py --quiet \
	  build --build-base build/sanitize --build-lib build/sanitize/lib
	PYTHONPATH=build/sanitize/lib FASTDROP_BACKEND=native ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
	  LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	  $(BIN)/pytest --numprocesses auto -k "not ($(UNSANITIZED))" \
	    $(wildcard $(SANITIZED:%=tests/test_%.py))

dist: $(STAMP)-dist ## Build the source distribution and a wheel, and try both
	rm -rf dist
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m build --quiet .
	$(BIN)/twine check --strict dist/*
	.ci/try-wheel dist/*.whl
	.ci/try-start dist/*.whl

# `make release-check RELEASE=1` is the same for a release: then nothing may be open.
release-check: $(STAMP)-dist ## Go through the checklist of a release, and say what is open
	[ -e build/release/bin/cffconvert ] || { $(BIN)/python -m venv build/release && \
	  build/release/bin/pip --disable-pip-version-check --quiet install cffconvert==2.0.0 "readme-renderer[md]==46.0"; }
	$(BIN)/python .ci/release-check $(if $(RELEASE),,--dry-run)

demo: $(STAMP)-alone ## Say which of some text messages are spam, and how surely
	$(BIN)/fastdrop demo

tools: $(STAMP)-lint $(STAMP)-fuzz $(STAMP)-docs $(STAMP)-dist ## Install what lint, fuzz, docs and dist need

clean: ## Remove everything that was built
	rm -rf $(VENV) build dist *.egg-info fastdrop/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "fastdrop needs Python 3.11 or newer, this is %s; try: make PYTHON=python3.11" % sys.version)'
	$(PYTHON) -m venv $(VENV)

# Build requirements first, so that the extension is built in place and only what changed again.
$(STAMP)-alone: $(VENV)/pyvenv.cfg $(EXTENSION)
	$(PIP) "setuptools>=77" "cython>=3.1" "numpy>=2.0"
	$(PIP) --no-build-isolation --editable .
	@touch $@

$(STAMP)-built: $(STAMP)-alone
	$(PIP) "fastdrop-rnn[test,test-bridges]"
	@touch $@

# What an extra lacks, and no more: the project itself is there, and would be compiled again.
$(STAMP)-lint: $(STAMP)-built
	$(PIP) "fastdrop-rnn[lint]"
	@touch $@

$(STAMP)-fuzz: $(STAMP)-built
	$(PIP) "fastdrop-rnn[fuzz]"
	@touch $@

$(STAMP)-bench: $(STAMP)-built
	$(PIP) "fastdrop-rnn[bench]"
	@touch $@

$(STAMP)-codspeed: $(STAMP)-built
	$(PIP) "pytest-codspeed>=5"
	@touch $@

$(STAMP)-dist: $(STAMP)-built
	$(PIP) build twine auditwheel
	@touch $@

$(STAMP)-docs: $(STAMP)-built
	$(PIP) "fastdrop-rnn[docs]"
	@touch $@

$(STAMP)-keras: $(STAMP)-built
	$(PIP) "fastdrop-rnn[keras]"
	@touch $@

$(STAMP)-torch: $(STAMP)-built
	$(PIP) torch==2.13.0
	@touch $@
