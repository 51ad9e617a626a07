"""The benchmark compares like with like, and says nothing on a busy machine."""

import importlib
import importlib.util
import json
import subprocess
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

FOLDER = Path(__file__).parent.parent / "benchmarks"
SIZES, LENGTHS = (5, 4, 3, 2), torch.tensor([4, 2, 3])
WITHOUT_CHANCE = {"dropout": 0.0, "emotion_dropout": 0.0, "recurrent_dropout": 0.0}  # so few values drop too unevenly
SMALL_MODEL = {"global_size": 4, "party_size": 3, "emotion_size": 2, "hidden_size": 3, "modality_dims": {"text": 5}}


@pytest.fixture
def benchmark(monkeypatch):
    """Imports a module of the benchmark's folder."""
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


@pytest.fixture
def limits(benchmark):
    """Rates of a made-up machine."""
    found = benchmark("machine").Limits("cpu", 200.0, {"float32": 100.0, "bfloat16": 400.0})
    found._read[2**18] = 50.0
    return found


@pytest.fixture
def tiny_run(benchmark, monkeypatch, tmp_path, limits):
    """Runs `run.py` with the given arguments on one tiny case, and gives its exit status and the folder of results."""
    run, threads = benchmark("run"), torch.get_num_threads()
    monkeypatch.setattr(run.machine.Limits, "measure", lambda device: limits)
    case = benchmark("scan").case
    monkeypatch.setattr(run.scan, "cases", lambda device: [case(SIZES, LENGTHS, "forward")])
    monkeypatch.setattr(run.product, "cases", lambda device: [benchmark("product").case(10, "forward")])

    def main(*arguments: str) -> tuple[int, Path]:
        monkeypatch.setattr("sys.argv", ["run.py", *arguments, "--rounds", "1", "--out", str(tmp_path)])
        return run.main(), tmp_path

    yield main
    torch.set_num_threads(threads)


def rows_of(folder: Path) -> list[dict]:
    (results,) = folder.glob("*.json")
    return json.loads(results.read_text())["rows"]


@pytest.mark.parametrize("direction", ["forward", "forward+backward"])
@pytest.mark.parametrize("options", [{"parties": 3}, {"directions": 2}, {"dtype": "bfloat16"}])
def test_contenders_for_the_scan_agree(benchmark, limits, direction, options):
    case = benchmark("scan").case(SIZES, LENGTHS, direction, **options)
    rows, left_out = benchmark("timing").measure(case, 1, "cpu", limits)
    names = [row["contender"] for row in rows]
    assert names[0] == "literal transcription" and names[-1] == "floor"
    assert rows[0]["ratio"] == 1 and "ours" in {*names, *left_out}


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("passes", [1, 3])
def test_bare_products_are_those_that_the_case_counts(benchmark, directions, passes):
    direction = "forward+backward" if passes == 3 else "forward"
    case = benchmark("scan").case(SIZES, LENGTHS, direction, directions=directions)
    products = benchmark("bare_products").of_scan(SIZES, LENGTHS, passes == 3, directions)
    with FlopCounterMode(display=False) as counter:
        products()
    d, g, p, _ = SIZES
    of_utterances = 2 * int(LENGTHS.sum()) * d * (4 * g + 3 * p) * directions if passes == 3 else 0
    assert counter.get_total_flops() == case.flops - of_utterances


@pytest.mark.parametrize("direction", ["forward", "forward+backward"])
@pytest.mark.parametrize("directions", [1, 2])
def test_the_step_that_is_compiled_agrees_with_the_others(benchmark, monkeypatch, direction, directions):
    monkeypatch.setattr(torch, "compile", lambda step, options: step)
    monkeypatch.setattr(torch.compiler, "reset", lambda: None)
    monkeypatch.setattr(torch._dynamo, "mark_dynamic", lambda tensor, axis: None)
    contest = benchmark("scan").case(SIZES, LENGTHS, direction, 3, directions, compiled=True).build()
    names = ["literal transcription", "vectorised, steps compiled"]
    contest.check({name: contest.contenders[name]() for name in names} | {"three GRUs (less work)": ()})


@pytest.mark.parametrize("direction", ["forward", "forward+backward"])
def test_contenders_for_the_fusions_agree(benchmark, limits, monkeypatch, direction):
    fusion, product = benchmark("fusion"), benchmark("product")
    monkeypatch.setattr(fusion.memory, "of_fusion", lambda batch, direction, contender: 1.5)
    for case in (fusion.case(3, direction, sizes=(4, 3, 2)), product.case(10, direction)):
        rows, left_out = benchmark("timing").measure(case, 1, "cpu", limits)
        assert len(rows) >= 3 and "ours" in {row["contender"] for row in rows} | left_out.keys()
        assert {row["extra_mb"] for row in rows[:-1]} == {1.5 if case.op == "tensor_fusion_linear" else None}


@pytest.mark.parametrize("kind", ["batch_case", "epoch_case"])
def test_whole_jobs_agree_with_the_transcription(benchmark, limits, kind):
    training = benchmark("training")
    lengths = LENGTHS if kind == "batch_case" else LENGTHS.tolist()
    case = getattr(training, kind)("tiny", lengths, "cpu", **SMALL_MODEL, **WITHOUT_CHANCE)
    rows, _ = benchmark("timing").measure(case, 1, "cpu", limits)
    assert [row["contender"] for row in rows][0::2] == ["literal transcription", "floor"]


@pytest.mark.parametrize(
    "name", ["dialogue_rnn", "dialogue_rnn_l", "bc_lstm, forward", "memnet", "mfn, five utterances", "cmn", "icon"]
)
def test_a_step_is_timed_call_by_call_beside_the_whole_dialogue(benchmark, limits, monkeypatch, name):
    latency = benchmark("latency")
    monkeypatch.setattr(latency, "UTTERANCES", 4)
    sizes = {"window": 3} if name in ("memnet", "cmn", "icon") else {}
    case = latency.case(name, steps=25, hidden_size=4, **sizes)
    contest = case.build()
    for _ in range(9):  # into the third dialogue
        contest.check({contender: run() for contender, run in contest.contenders.items()})
    rows, _ = benchmark("timing").measure(case, 1, "cpu", limits)
    assert [row["contender"] for row in rows] == ["whole dialogue again", "ours, step", "floor"]
    assert all(row["calls"] == 25 and row["p95_ms"] >= row["median_ms"] > 0 for row in rows[:2])


def test_every_causal_dialogue_family_is_in_the_benchmark_of_latency(benchmark):
    families = {fields["model_type"] for fields in benchmark("latency").FAMILIES.values()}
    assert families == {"dialogue_rnn", "bc_lstm", "memnet", "mfn", "cmn", "icon"}
    assert len(list(benchmark("latency").cases("cpu"))) == 7


def test_contenders_for_word_alignment_agree_and_have_no_rate(benchmark, limits):
    alignment = benchmark("alignment")
    rows, _ = benchmark("timing").measure(alignment.case(2, 5, width=3), 1, "cpu", limits)
    assert [row["contender"] for row in rows] == ["literal loop", "NumPy, word by word", "ours"]
    assert all(row["median_ms"] > 0 and row["gflops"] is None for row in rows)
    facts = {"processor": "", "threads": 1, "torch": "", "commit": "", "clock": "wall", "load": []}
    page = benchmark("report").table(rows, {**facts, "product_gflops": {}, "fma_gflops": None})
    assert "None" not in page and page.count("| word alignment |") == 3
    first, *others = (run() for run in alignment.contest(2, 5, 3).contenders.values())
    assert [len(array) for array in first] == [10, 10]
    with pytest.raises(AssertionError, match="ours"):
        alignment.same({"literal loop": first, "ours": tuple(array + 2e-6 for array in others[-1])})


def test_a_prediction_by_a_fresh_process_is_checked(benchmark):
    startup = benchmark("startup")
    contest = startup.case(seconds=0.5).build()
    assert list(contest.contenders) == ["import transformers", "import mm_emotion", startup.HELP, startup.PREDICT]
    found = {startup.HELP: " ".join(startup.COMMANDS), startup.PREDICT: contest.contenders[startup.PREDICT]()}
    contest.check(found)
    for broken, message in [({startup.HELP: "usage"}, "prepare"), ({startup.PREDICT: ""}, "no row")]:
        with pytest.raises(AssertionError, match=message):
            contest.check(found | broken)


def test_a_process_is_timed_with_its_own_work_and_counts_no_operations(benchmark, limits, monkeypatch):
    startup, report = benchmark("startup"), benchmark("report")
    monkeypatch.setattr(startup, "PROCESSES", {"sums": ("-S", "-c", "sum(range(6_000_000))"), "none": ("-S", "-c", "")})
    monkeypatch.setattr(startup, "check", lambda results: None)
    rows, _ = benchmark("timing").measure(startup.case(0.5), 1, "cpu", limits)
    assert [row["contender"] for row in rows] == ["sums", "none"]
    assert rows[0]["processor_ms"] > 2 * rows[1]["processor_ms"] > 0
    facts = {"clock": "cpu", "processor": "", "threads": 1, "torch": "", "commit": "", "load": []}
    page = report.table(rows, facts | {"product_gflops": {}, "fma_gflops": None})
    assert page.splitlines()[-2].endswith(" | 1.0 |  |  |  |  |  |")
    report.show(rows, {})


def test_a_process_that_fails_ends_the_benchmark(benchmark, tmp_path):
    with pytest.raises(subprocess.CalledProcessError):
        benchmark("startup").fresh_process(tmp_path, ("-S", "-c", "raise SystemExit(3)"))


def test_a_wrong_contender_is_found_before_it_is_timed(benchmark, limits, monkeypatch):
    case = benchmark("scan").case(SIZES, LENGTHS, "forward")
    contest = case.build()
    first = contest.contenders["literal transcription"]
    contest.contenders["wrong"] = lambda: tuple(result * 1.01 for result in first())
    monkeypatch.setattr(case, "build", lambda: contest)
    with pytest.raises(AssertionError, match="wrong: result 0 is off"):
        benchmark("timing").measure(case, 1, "cpu", limits)


def test_the_floor_is_the_slower_of_arithmetic_and_memory(limits):
    assert limits.floor(1e9, 0, 1, "float32") == pytest.approx(0.01)
    assert limits.floor(1e9, 1e9, 1000, "float32") == pytest.approx(0.02)
    assert limits.peak("float32") == 200 and limits.peak("bfloat16") == 400


def test_memory_of_a_contender_is_told_by_a_process_of_its_own(benchmark):
    memory = benchmark("memory")
    if not memory.REFERENCES.exists():
        pytest.skip("no /proc/self/clear_refs")
    # Of 32 rows the outer product alone takes 18 MB in float32.
    assert memory.of_fusion(32, "forward", "outer product + linear") > 17


@pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="onnxruntime is not installed")
def test_onnx_runtime_computes_the_three_grus(benchmark):
    module = benchmark("rivals").ThreeGRUs(*SIZES)
    utterances = torch.randn(3, 4, SIZES[0])
    (states,) = benchmark("onnx_gru").session(module, utterances)()
    torch.testing.assert_close(states, module(utterances).detach())


def test_lengths_are_drawn_where_there_is_no_corpus(benchmark, monkeypatch, tmp_path):
    lengths = benchmark("lengths")
    monkeypatch.setenv("MM_EMOTION_DATA", str(tmp_path))
    name, drawn = lengths.spread(30)
    assert name.startswith("drawn U") and len(drawn) == 30 and drawn.max() == 110
    (tmp_path / "iemocap").mkdir()
    listed = [{"utt_ids": ["a"] * 9, "split": "train"}, {"utt_ids": ["a"] * 4, "split": "test"}]
    (tmp_path / lengths.LISTED).write_text("\n".join(map(json.dumps, listed)))
    assert lengths.spread(2)[0] == "IEMOCAP U4-9 (mean 6)"
    assert lengths.dialogue_lengths(training=True) == ("IEMOCAP", [9])


def test_a_busy_machine_reports_nothing(benchmark, monkeypatch, tiny_run, capsys):
    monkeypatch.setattr(benchmark("timing"), "quiet", lambda: False)
    monkeypatch.setattr(benchmark("timing").time, "sleep", lambda seconds: None)
    status, folder = tiny_run("scan")
    assert status == 1
    assert "nothing reported" in capsys.readouterr().out
    assert not list(folder.iterdir())


def test_results_are_rows_and_a_table(tiny_run):
    status, folder = tiny_run("scan", "--clock", "cpu")
    assert status == 0
    rows, (page,) = rows_of(folder), folder.glob("*.md")
    assert {"op", "shape", "device", "dtype", "direction", "contender", "median_ms", "ratio", "commit"} <= set(rows[0])
    assert page.read_text().count("| dialogue_rnn_scan |") == len(rows)


def test_a_later_run_adds_its_rows_unless_the_commit_is_another(benchmark, monkeypatch, tiny_run):
    monkeypatch.setattr(benchmark("machine"), "commit", lambda: "one")
    tiny_run("scan", "--clock", "cpu")
    tiny_run("product", "--clock", "cpu")
    _, folder = tiny_run("scan", "--clock", "cpu")
    labels = [(row["op"], row["contender"]) for row in rows_of(folder)]
    assert len(set(labels)) == len(labels) and {op for op, _ in labels} == {"dialogue_rnn_scan", "product_fusion"}
    monkeypatch.setattr(benchmark("machine"), "commit", lambda: "two")
    tiny_run("product", "--clock", "cpu")
    assert {row["op"] for row in rows_of(folder)} == {"product_fusion"}


def test_cases_are_chosen_by_name(tiny_run, capsys):
    status, _ = tiny_run("--list", "--only", "x 3 x 7")
    assert status == 0
    assert capsys.readouterr().out.splitlines() == ["product_fusion 10 x 3 x 7 forward float32"]
