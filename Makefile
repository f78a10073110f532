# What a newcomer runs: `make demo`. What a contributor runs: `make test`.
# Needs make, Python 3.11 or newer with venv, and a package index; everything is installed into this folder.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
# More pytest arguments: make unit ARGS="-k conv -x"
ARGS ?=

.PHONY: help demo install dev oracle test test-long lint types floors unit docs parity bench clean
.DELETE_ON_ERROR:

help:
	@echo 'make demo       train LeNet-5 on the bundled digits, compile it, read ten pictures'
	@echo 'make test       style, types, floors and tests (make lint, types, floors, unit: one of them)'
	@echo 'make test-long  the tests that take minutes, and the fuzzers, an hour each'
	@echo 'make docs       the pages that show what netc prints'
	@echo 'make parity     docs/parity.md: every net of specs/ against float64 torch, hours where all of it is new'
	@echo 'make bench      docs/benchmarks.md, half an hour (make bench ONLY=inference: one section; QUICK=1: a few cases)'
	@echo 'make install    the two packages in $(VENV), for use'
	@echo 'make dev        and what the tests need'
	@echo 'make clean      remove what make made, $(VENV) included'

demo: install
	@PATH="$(CURDIR)/$(BIN):$$PATH" examples/digits/demo

install: $(VENV)/.installed
dev: $(VENV)/.dev
oracle: .oracle/.installed

test: lint types floors unit

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: dev
	$(BIN)/pyright

floors: dev
	$(BIN)/lint-imports --no-cache

unit: dev oracle
	$(BIN)/python -m pytest --cov --cov-report=term $(ARGS)

# The fuzzers run for an hour each; NETC_FUZZ_SECONDS says otherwise. -raP shows what they ran.
test-long: dev oracle $(VENV)/.fuzz
	$(BIN)/python -m pytest -m long --timeout=3600 -raP $(ARGS)

docs: install
	$(BIN)/python docs/make_errors.py
	$(BIN)/python docs/make_language.py
	$(BIN)/python docs/make_zoo.py

parity: install
	$(BIN)/python docs/make_parity.py

# The machine should have nothing else to do. ONLY="build inference" measures these sections again.
ONLY ?=
QUICK ?=
bench: dev oracle .bench/.installed
	.bench/bin/python tests/bench/report.py $(if $(ONLY),--only $(ONLY)) $(if $(QUICK),--quick)

clean:
	rm -rf $(VENV) .oracle .bench build dist .coverage .coverage.* .hypothesis .import_linter_cache .pytest_cache .ruff_cache
	find netc runtime tests examples -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is newer than what it was made from, or is made again.

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "netc needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) has no venv module. On Debian and Ubuntu: sudo apt install python3-venv" >&2; exit 1; }
	@echo "creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml runtime/pyproject.toml constraints.txt
	@echo 'installing netc and netc-runtime; PyTorch and ONNX Runtime are large, the first time takes minutes'
	@$(PIP) install -c constraints.txt -e ./runtime -e .
	@# As pip does for a wheel: where writing bytecode is switched off, every start would compile anew.
	@$(BIN)/python -m compileall -q netc runtime/netc_runtime
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	@echo 'installing what the tests need'
	@$(PIP) install -c constraints.txt -e ./runtime -e '.[dev]'
	@touch $@

$(VENV)/.fuzz: $(VENV)/.dev
	@echo 'installing the fuzzer'
	@$(PIP) install -c constraints.txt -e ./runtime -e '.[fuzz]'
	@touch $@

# What the tests compare with. A folder of its own and --no-deps: inside the environment, torchvision would bring a torch.
.oracle/.installed: $(VENV)/.created constraints.txt
	@echo 'installing torchvision and timm, which the tests compare with'
	@rm -rf .oracle
	@$(PIP) install -c constraints.txt --no-deps --target .oracle torchvision timm
	@touch $@

# What the benchmarks compare with. An environment of its own that sees all of $(VENV), so torch is not installed twice,
# and that $(VENV) does not see: OpenVINO brings a thread pool, and onnxscript is for torch's exporter alone.
.bench/.installed: $(VENV)/.dev constraints.txt
	@echo 'installing OpenVINO and onnxscript, which the benchmarks compare with'
	@rm -rf .bench
	@$(BIN)/python -m venv .bench
	@$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
	  > "$$(.bench/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/beside.pth"
	@.bench/bin/python -m pip --disable-pip-version-check -q install -c constraints.txt openvino onnxscript
	@touch $@
