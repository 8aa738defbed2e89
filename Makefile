# `make` shows the targets. Where no ROS 2 is sourced (ROS_DISTRO), .venv holds one; where one is, it is used.
# What is set up or built once is not done again: see the stamp files below.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help live build test test-fast lint bench campaign torch viewer docs train-default train-trees clean FORCE
.DELETE_ON_ERROR:

ROS := $(or $(ROS_DISTRO),wheels)
ENVIRONMENT := .venv/.environment-$(ROS)
DEVELOPMENT := .venv/.development-$(ROS)
TORCH := .venv/.torch-$(ROS)
VIEWER := .venv/.viewer-$(ROS)
DOCS := .venv/.docs-$(ROS)
BUILT := install/.built-$(ROS)
RUN := tools/in_environment.sh

help:
	@echo 'make live    track a face, live: SOURCE=auto|camera|sample|INDEX|DEVICE|URL|FILE|FOLDER DURATION=SECONDS OUT=FOLDER AVATAR=watermelon ARGS="..."'
	@echo 'make test    lint and test: ARGS="-k camera" chooses tests'
	@echo 'make campaign  try to break it with hostile files and messages, and kills: COUNT=1000 ARGS="--seed 1"'
	@echo 'make bench   measure each stage and the whole: ARGS="..." goes to benchmarks'
	@echo 'make torch   add torch, for face3dmm train, and the fit methods photometric and regressor'
	@echo 'make viewer  add Rerun, for face3dmm view'
	@echo 'make docs    the documentation as a site, into build/site'
	@echo 'make train-default  the networks that ship, from nothing, in some hours: PEOPLE="FOLDER …" ASSETS=FOLDER'
	@echo 'make train-trees  what the backend trees finds faces with, likewise, in less than two hours'
	@echo 'make test-fast  the quick tests alone, a third of the time'
	@echo 'make lint    ruff, mypy and import-linter only'
	@echo 'make build   set up and build, without running anything'
	@echo 'make clean   remove what was built (.venv stays)'

live: $(BUILT)
	@$(RUN) face3dmm live $${SOURCE:+--source "$$SOURCE"} $${DURATION:+--duration "$$DURATION"} $${OUT:+--out "$$OUT"} \
		$${AVATAR:+--avatar "$$AVATAR"} $(ARGS)

build: $(BUILT)

test: lint $(BUILT) $(TORCH) $(VIEWER) $(DOCS)
	@OMP_NUM_THREADS=1 $(RUN) python -m pytest $(ARGS)

test-fast: $(BUILT) $(DEVELOPMENT)
	@OMP_NUM_THREADS=1 $(RUN) python -m pytest -m 'not slow' $(ARGS)

lint: $(DEVELOPMENT)
	@.venv/bin/ruff check --quiet
	@.venv/bin/ruff format --check --quiet
	@.venv/bin/mypy
	@found=$$(.venv/bin/lint-imports --no-logo) || { echo "$$found"; exit 1; }

torch: $(TORCH)

viewer: $(VIEWER)

docs: $(DOCS)
	@NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet
	@echo 'open build/site/index.html; for the search: .venv/bin/python -m http.server --directory build/site'

train-default: $(BUILT) $(TORCH)
	@$(RUN) tools/train_default.sh

train-trees: $(BUILT) $(TORCH)
	@$(RUN) tools/train_trees.sh

bench: $(BUILT) $(DEVELOPMENT)
	@$(RUN) python -m benchmarks $(ARGS)

campaign: $(BUILT) $(DEVELOPMENT)
	@$(RUN) python -m tools.campaign files --count $${COUNT:-1000} $(ARGS)
	@$(RUN) python -m tools.campaign messages --count $$(( $${COUNT:-1000} / 20 )) $(ARGS)
	@$(RUN) python -m tools.campaign runs --count $$(( $${COUNT:-1000} / 50 )) $(ARGS)

clean:
	rm -rf build install log dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

$(ENVIRONMENT): requirements.txt requirements-pip.txt requirements-ros.txt tools/set_up.sh
	@tools/set_up.sh environment
	@touch $@

$(DEVELOPMENT): requirements-dev.txt requirements-cluster.txt $(ENVIRONMENT)
	@tools/set_up.sh development
	@touch $@

# Nothing but the photometric fit and regressors need torch: where it cannot be had, the rest goes on.
$(TORCH): requirements-torch.txt $(ENVIRONMENT)
	@if tools/set_up.sh torch; then touch $@; fi

# Nothing but the viewer needs Rerun: likewise.
$(VIEWER): requirements-viewer.txt $(ENVIRONMENT)
	@if tools/set_up.sh viewer; then touch $@; fi

# Nothing but the site needs MkDocs: likewise.
$(DOCS): requirements-docs.txt $(ENVIRONMENT)
	@if tools/set_up.sh docs; then touch $@; fi

# Python edits need no build, since the installed files are links; a file that comes or goes does.
$(BUILT): $(ENVIRONMENT) build/file_list package.xml CMakeLists.txt setup.cfg $(wildcard msg/*.msg)
	@tools/set_up.sh build
	@touch $@

build/file_list: FORCE | $(ENVIRONMENT)
	@mkdir -p $(@D)
	@find face3dmm_ros config launch resource -type f -not -name '*.pyc' | sort >$@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi
