# `make demo` and `make test` install what they need into a virtual environment.
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python -m

.PHONY: demo test lint docs clean
.DELETE_ON_ERROR:

# Memory in huge pages makes runs on the CPU faster, and so does keeping it (docs/speed.md).
demo: export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184:glibc.malloc.top_pad=67108864:glibc.malloc.arena_max=1
test: export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

demo: $(VENV)/demo.installed
	$(RUN) difnas_jax --config=digits --workdir=runs/demo

# Where a process of the tests is lost, xdist could wait for ever for what it had to do.
test: $(VENV)/test.installed
	@$(RUN) pytest -n auto --dist loadfile --no-loadscope-reorder --max-worker-restart=0

lint: $(VENV)/dev.installed
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(VENV)/bin/shellcheck launch/*.sh launch/gke/*.sh .ci/run
	$(VENV)/bin/hadolint Dockerfile
	$(RUN) pyright --pythonpath $(VENV)/bin/python

docs: $(VENV)/docs.installed
	$(RUN) mkdocs build --strict

clean:
	rm -rf $(VENV) runs site

$(VENV)/bin/python:
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed: make PYTHON=python3.11')"
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.installed: pyproject.toml | $(VENV)/bin/python
	$(RUN) pip install --quiet --editable .
	touch $@

$(VENV)/%.installed: pyproject.toml | $(VENV)/bin/python
	$(RUN) pip install --quiet --editable '.[$*]'
	touch $@
