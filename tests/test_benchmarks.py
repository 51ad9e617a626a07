"""The benchmark compares like with like, and says nothing on a busy machine."""

import importlib
import json
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """Imports a module of the benchmark's folder."""
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


@pytest.mark.parametrize("backward", [False, True])
def test_contenders_for_the_scan_agree(benchmark, backward):
    case = benchmark("scan").case("tiny", (5, 4, 3, 2), torch.tensor([4, 2, 3]), 3, backward)
    rows = benchmark("timing").measure(case, 1, "cpu")
    assert [row["contender"] for row in rows] == list(case.contenders)
    assert rows[0]["ratio"] == 1


def test_a_wrong_contender_is_found_before_it_is_timed(benchmark):
    case = benchmark("scan").case("tiny", (5, 4, 3, 2), torch.tensor([4, 2, 3]), 3, False)
    first = next(iter(case.contenders.values()))
    case.contenders["wrong"] = lambda: tuple(result + 1 for result in first())
    with pytest.raises(AssertionError, match="wrong"):
        benchmark("timing").measure(case, 1, "cpu")


def test_a_busy_machine_reports_nothing(benchmark, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(benchmark("timing"), "quiet", lambda: False)
    run = benchmark("run")
    monkeypatch.setattr(run.scan, "cases", lambda: [run.scan.case("x", (5, 4, 3, 2), torch.tensor([2]), 2, False)])
    monkeypatch.setattr("sys.argv", ["run.py", "scan", "--out", str(tmp_path)])
    assert run.main() == 1
    assert "nothing reported" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_results_are_rows_and_a_table(benchmark, monkeypatch, tmp_path):
    run, threads = benchmark("run"), torch.get_num_threads()
    monkeypatch.setattr(run.scan, "cases", lambda: [run.scan.case("x", (5, 4, 3, 2), torch.tensor([2]), 2, False)])
    monkeypatch.setattr("sys.argv", ["run.py", "scan", "--clock", "cpu", "--rounds", "1", "--out", str(tmp_path)])
    try:
        assert run.main() == 0
    finally:
        torch.set_num_threads(threads)
    (page,), (results,) = tmp_path.glob("*.md"), tmp_path.glob("*.json")
    rows = json.loads(results.read_text())["rows"]
    assert {"op", "shape", "device", "dtype", "direction", "contender", "median_ms", "ratio"} <= set(rows[0])
    assert page.read_text().count("| dialogue_rnn_scan |") == len(rows)
