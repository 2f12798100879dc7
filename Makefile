# `make demo` and `make test` need nothing but Python 3.11 and make. Everything else lives in .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(abspath $(VENV))/bin
JOBS ?= 2

.PHONY: install demo test lint clean

install: $(VENV)/.installed

$(VENV)/.installed: requirements/runtime.txt requirements/dev.txt setup.py pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "MotionLab needs Python 3.11 or newer"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
# MMEngine needs OpenCV; the standard wheel needs libGL, which servers and containers often lack.
	@$(BIN)/python -c 'import cv2' 2>/dev/null || { \
	  echo 'OpenCV cannot open a display library here: using its headless build.'; \
	  $(BIN)/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps \
	    "opencv-python-headless==$$($(BIN)/pip show opencv-python | sed -n 's/^Version: //p')"; }
# yapf, which MMEngine imports, writes its grammar on first use: two processes at once would read half a file.
	@$(BIN)/python -c 'import mmengine'
	@touch $@

demo: install
	$(BIN)/python tools/demo.py

test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) build *.egg-info
