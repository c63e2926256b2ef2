# `make` lists the targets. Each sets up what it needs in .venv/ and runs from the repository root.

PYTHON ?= python3

STAMP := .venv/.set-up
BIN := .venv/bin
# Training jobs at a time: one for each GPU; on a CPU they share its cores.
GPUS ?= 1
SNAKEMAKE := $(BIN)/snakemake --cores all --resources gpu=$(GPUS)
# What programs write and read is UTF-8, whatever the locale.
export PYTHONUTF8 := 1

# A study: a folder with a config.yaml, and its results/. The main study is this folder.
STUDY ?= .
# For the shell, whatever characters it has. (The ends, marked by line breaks: -a is no option but the
# folder ./-a, and a/ is a.)
define END


endef
NAMED := $(subst $(END)-,$(END)./-,$(END)$(value STUDY)$(END))
NAMED := $(subst $(END),,$(subst /$(END),$(END),$(subst $(END)/$(END),$(END)//$(END),$(NAMED))))
FOLDER := '$(subst ','\'',$(NAMED))'

# The library is this folder's, whatever else PYTHONPATH names or (-P) lies here.
LIBRARY := PYTHONPATH="$$PWD/workflow"
PROGRAM := $(LIBRARY) $(BIN)/python -P -m

# Shows the answers in a folder, and where to look next.
define SHOW
@echo
@cat $(1)/summary.txt
@echo
@echo $(1)"/index.html: table, answers and figures on one page, for a browser"
@echo $(1)"/table.md: the whole table, and what to know before believing it"
@echo $(1)"/interpretation.md: each answer, and what it rests on"
endef

.PHONY: help setup demo table table-so-far run report test test-slow mutations bench lint schema clean-cache clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

setup: $(STAMP) ## install the pinned versions in .venv/ (PYTHON=python3.12 chooses the Python)

demo: $(STAMP) ## all eight rows on stand-ins: no downloads, no GPU, about two minutes
	@$(MAKE) --no-print-directory run STUDY=demo GPUS=2

table: $(STAMP) ## the real table: downloads about 5.3 GB the first time
	@$(MAKE) --no-print-directory run STUDY=.

run: $(STAMP) ## your own study, in a folder with a config.yaml: make run STUDY=mine
	@test "$(origin STUDY)" != file || { \
	  echo "error: which study? make run STUDY=folder, or make table for the published one" >&2; exit 1; }
	@$(PROGRAM) ablations.study.plan --directory $(FOLDER)
	@$(LIBRARY) $(SNAKEMAKE) --logger progress --keep-going --directory $(FOLDER) || { \
	  echo "Not everything is done. Run the same command again to continue. Snakemake's own lines are in"; \
	  echo $(FOLDER)"/.snakemake/log/. To see what is finished: make table-so-far STUDY="$(FOLDER); exit 1; } >&2
	$(call SHOW,$(FOLDER)/results)

table-so-far: $(STAMP) ## table and answers of the finished rows, and the state of the others
	@$(PROGRAM) ablations.training.status --directory $(FOLDER)
	@$(PROGRAM) ablations.answers.write --so-far --results $(FOLDER)/results \
	  --output $(FOLDER)/results/so-far --log $(FOLDER)/logs/so-far/answers.log
	$(call SHOW,$(FOLDER)/results/so-far)

report: $(STAMP) ## results/report.html, once the table is finished (STUDY=mine: of that study)
	@test -f $(FOLDER)/results/table.csv || { \
	  echo "error: "$(FOLDER)"/results/table.csv is missing; make the table first" >&2; exit 1; }
	$(LIBRARY) $(BIN)/snakemake --report results/report.html --directory $(FOLDER)

# Tests start hundreds of programs: they are compiled once, whatever the environment says.
test test-slow: export PYTHONDONTWRITEBYTECODE :=
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: $(STAMP) ## the test suite (ALL=1: with those of test-slow)
	$(PYTEST) $(if $(ALL),-m '')

test-slow: $(STAMP) ## the tests that take minutes, such as those on a SLURM cluster
	$(PYTEST) -m slow

mutations: $(STAMP) ## put in faults, one at a time: does a test catch each? (minutes)
	$(BIN)/python tests/mutations.py --jobs 2

bench: $(STAMP) ## each row's time against loops that recompute everything (docs/performance.md)
	$(BIN)/python bench/bench.py --transformers
	$(BIN)/python bench/bench.py --memory
	$(BIN)/python bench/bench.py --profile --rows baseline
	$(BIN)/python bench/overhead.py

lint: $(STAMP) ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

schema: $(STAMP) ## write workflow/schemas/ again, from the declarations in the library
	$(PROGRAM) ablations.study.schema --output workflow/schemas/config.schema.json

clean-cache: $(STAMP) ## delete the hidden states (STUDY=mine: of that study); runs compute them again
	@$(PROGRAM) ablations.study.clean_cache --directory $(FOLDER)

clean: ## delete the demo's results, the tools' caches and .venv/; results/ stays
	rm -rf demo/results demo/logs demo/benchmarks demo/.snakemake
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis workflow/ablations.egg-info .venv

# The stamp holds the path of this folder. Scripts in .venv contain it too, so after a move the set-up
# runs again.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
	  echo "error: Python 3.11, 3.12 or 3.13 is needed; $(PYTHON) is: $$($(PYTHON) --version 2>&1)."; \
	  echo "Name another: make setup PYTHON=python3.12"; exit 1; } >&2
	@$(PYTHON) -c 'import ensurepip, venv' || { \
	  echo "error: $(PYTHON) cannot make virtual environments."; \
	  echo "On Debian and Ubuntu: apt-get install python3-venv"; exit 1; } >&2
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@pwd -P > $@
