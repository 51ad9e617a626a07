"""The run on a device says plainly that there is none, and takes neither a failure nor an omission for a success."""

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

SCRIPT = Path(__file__).parent / "on_device.py"
REPORT = '<testsuites><testsuite tests="{}" failures="0" errors="0" skipped="{}"/></testsuites>'


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("on_device", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("cuda", "reason"), [(None, "built without CUDA"), ("13.0", "finds no CUDA device")])
def test_without_a_device_one_line_says_so(script, tmp_path, monkeypatch, capsys, cuda, reason):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    assert script.main(["--out", str(tmp_path / "out")]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("test-gpu: nothing was run: ") and reason in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("commands", "report", "passed", "ran"),
    [
        ({"build": "0", "tests": "0"}, (5, 0), True, {"build", "tests"}),
        ({"build": "0", "tests": "3"}, (5, 0), False, {"build", "tests"}),
        ({"build": "1", "tests": "0"}, (5, 0), False, {"build"}),
        ({"build": "0", "tests": "0"}, (5, 1), False, {"build", "tests"}),
        ({"build": "0", "tests": "0"}, (0, 0), False, {"build", "tests"}),
    ],
)
def test_the_record_passes_only_where_every_step_has(script, tmp_path, monkeypatch, commands, report, passed, ran):
    properties = SimpleNamespace(name="a device", major=9, minor=0, total_memory=1, multi_processor_count=2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties)
    steps = [(name, [sys.executable, "-c", f"exit({status})"], {}) for name, status in commands.items()]
    monkeypatch.setattr(script, "plan", lambda out, skip: steps)
    (tmp_path / "tests.xml").write_text(REPORT.format(*report))
    assert script.main(["--out", str(tmp_path), "--skip", "sanitizer"]) == (0 if passed else 1)
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["passed"] == passed
    assert set(record["steps"]) == ran
    assert record["device"] == "a device" and record["torch"] == torch.__version__


def test_a_step_that_hangs_fails(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "SECONDS", 0.1)
    step = script.run("tests", [sys.executable, "-c", "import time; time.sleep(60)"], {}, tmp_path)
    assert not step["passed"] and step["seconds"] < 30
