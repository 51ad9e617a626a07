# Everything runs inside .venv, which `make install` builds from constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := build/demo
LAUNCH := $(BIN)/accelerate launch --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no
export TOKENIZERS_PARALLELISM := false

.PHONY: install demo check format test test-asan test-gpu bench bench-gpu clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml setup.py constraints.txt $(wildcard csrc/*.* csrc/*/*.*)
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade -c constraints.txt pip setuptools wheel
	$(BIN)/python -m pip install --quiet -c constraints.txt torch numpy
	$(BIN)/python -m pip install --quiet -c constraints.txt pybind11 ninja
	$(BIN)/python -m pip install --quiet -c constraints.txt --no-build-isolation -e '.[dev]'
	touch $@

demo: install
	rm -rf $(DEMO)
	$(BIN)/python -m mm_emotion.data.miniature $(DEMO)/raw
	$(BIN)/mm-emotion prepare iemocap --data-dir $(DEMO)/raw --out $(DEMO)/corpus --config six_way
	$(LAUNCH) train.py demo/miniature_context_free --data $(DEMO)/corpus --out $(DEMO)/runs
	$(LAUNCH) train.py demo/miniature_dialogue --data $(DEMO)/corpus --out $(DEMO)/runs
	cp -r $(DEMO)/runs/demo/miniature_dialogue/seed0/model $(DEMO)/model
	$(BIN)/mm-emotion evaluate $(DEMO)/model --data $(DEMO)/corpus --against $(DEMO)/runs/demo/miniature_context_free/seed0/model --out $(DEMO)
	$(BIN)/mm-emotion predict --model $(DEMO)/model --data $(DEMO)/corpus --part test

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: install
	$(BIN)/python -m pytest -q

# The op tests against a build that checks addresses and undefined behaviour.
test-asan: install
	rm -rf build/asan
	mkdir -p build/asan
	cp -r setup.py pyproject.toml README.md LICENSE csrc mm_emotion datasets_scripts tests build/asan/
	rm -f build/asan/mm_emotion/*.so
	cd build/asan && MM_EMOTION_CXXFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=undefined -g -O1" \
	    $(CURDIR)/$(BIN)/python setup.py build_ext --inplace
	cd build/asan && ASAN_OPTIONS=detect_leaks=0 \
	    LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libubsan.so)" \
	    $(CURDIR)/$(BIN)/python -m pytest -q tests/ops -k "not compiles and not opcheck and not thousand"

# Build, tests, sanitizers and benchmarks on a CUDA device; the record is build/gpu/record.json. With GPU_PYTHON=python3
# it takes the environment that is there and installs nothing.
GPU_PYTHON ?= $(BIN)/python
test-gpu: $(if $(filter $(BIN)/python,$(GPU_PYTHON)),install)
	$(GPU_PYTHON) tests/cuda/on_device.py

# Rivals that are not installed are left out with one line.
bench: install
	-$(BIN)/python -m pip install --quiet -c constraints.txt -r benchmarks/requirements.txt
	$(BIN)/python benchmarks/run.py

bench-gpu: install
	MM_EMOTION_CUDA=1 $(BIN)/python benchmarks/run.py --device cuda

clean:
	rm -rf build dist .venv *.egg-info mm_emotion/*.so
