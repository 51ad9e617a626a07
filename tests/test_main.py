"""The commands, from a raw folder to a table of emotions, and what they say when the input is bad."""

import json
import shlex
import shutil
import subprocess
import sys

import pytest
import soundfile
import torch
from datasets import disable_progress_bars, load_dataset

from mm_emotion.__main__ import main, parse
from mm_emotion.commands import COMMANDS
from mm_emotion.data.corpus import load_prepared
from mm_emotion.training.evaluation import read_results


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    assert f"mm-emotion {command}" in text


def test_the_module_runs_as_a_program():
    result = subprocess.run([sys.executable, "-m", "mm_emotion", "--help"], capture_output=True, text=True, check=True)
    assert all(command in result.stdout for command in COMMANDS)


def examples(command, capsys):
    """The example lines of a command's help, as words behind the program's name."""
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = capsys.readouterr().out.partition("examples:\n")[2].replace("\\\n", " ")
    for line in text.strip().splitlines():
        words = shlex.split(line.strip().removeprefix("accelerate launch ").replace("train.py", "mm-emotion train", 1))
        assert words[0] == "mm-emotion"
        yield words[1:]


def test_a_reader_that_has_read_enough_is_no_error():
    command = f"{sys.executable} -m mm_emotion list --json | head -c 10"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120)
    assert len(done.stdout) == 10 and done.stderr == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_of_the_help_parse(command, capsys):
    lines = list(examples(command, capsys))
    assert lines
    for words in lines:
        assert parse(words).command == command


@pytest.mark.parametrize("command", ["train", "reproduce"])
def test_overrides_may_stand_anywhere_behind_the_recipe(command):
    end = ["--results", "r.csv"] if command == "reproduce" else []
    for words in (
        ["x", "a.b=1", "c=[2, 3]", "--data", "d"],
        ["x", "--data", "d", "a.b=1", "c=[2, 3]"],
        ["x", "a.b=1", "--data", "d", "c=[2, 3]", "--quiet"],
        ["--data", "d", "x", "a.b=1", "c=[2, 3]"],
        ["x", "--data", "d", "--seeds", "4", "5", "a.b=1", "c=[2, 3]"],
        ["x", "a.b=1", "--data", "d", "--seeds", "4", "5", "c=[2, 3]"],
    ):
        options = parse([command, *words, *end])
        assert (options.recipe, options.overrides, str(options.data)) == ("x", ["a.b=1", "c=[2, 3]"], "d")
        assert options.seeds == ([4, 5] if "--seeds" in words else [])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "x", "--data", "d", "bogus"], "unrecognized arguments: bogus"),
        (["train", "x", "--data", "d", "--bogus=1"], "unrecognized arguments: --bogus=1"),
        (["train", "x", "--seeds", "one"], "'one' is no seed"),
        (["list", "a=1"], "unrecognized arguments: a=1"),
        (["predict", "--model", "m", "--text", "x", "--dialogue", "y"], "--dialogue"),
        (["predict", "--model", "m", "--audio", "x.wav", "--data", "y"], "--data"),
        (["predict", "--model", "m"], "nothing to predict: give files"),
        (["prepare"], "corpus"),
        (["prepare", "iemocapp"], "iemocapp"),
    ],
)
def test_words_that_mean_nothing_are_refused(words, message, monkeypatch, capsys):
    monkeypatch.delenv("MM_EMOTION_DATA", raising=False)
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("usage: mm-emotion")
    assert message in error.splitlines()[-1]


def test_the_help_of_a_corpus_carries_the_name_of_the_program(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["prepare", "iemocap", "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: mm-emotion prepare iemocap ")
    assert "python -m" not in text


def test_a_tracker_that_is_not_installed_is_known_before_training(prepared, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("mm_emotion.commands._seeds.find_spec", lambda name: None)
    out = tmp_path / "runs"
    words = ["train", "demo/miniature_text_cnn", "--data", str(prepared), "--out", str(out), "--tracker", "comet_ml"]
    assert main(words) == 2
    assert capsys.readouterr().err == "mm-emotion train: this needs comet_ml: pip install 'comet-ml'\n"
    assert not out.exists()


def test_training_leaves_a_system_with_processor_recipe_and_results(system):
    names = {path.name for path in system.iterdir()}
    assert {"config.json", "model.safetensors", "processor_config.json", "recipe.yaml", "results.csv"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pkl", ".pt", ".pth"))]
    config = json.loads((system / "config.json").read_text())
    assert config["model_type"] == "hierarchical"
    rows = read_results(system / "results.csv")
    assert {row["fold"] for row in rows} == {"validation", "test", "test/improvised"}
    assert {row["selected_on"] for row in rows} == {"validation"}
    assert {row["seed"] for row in rows} == {"0"}


def test_nothing_half_written_stays_behind(runs):
    assert list(runs.rglob(".*")) == []


def test_evaluate_equals_the_training_run(system, prepared, tmp_path, capsys):
    assert main(["evaluate", str(system), "--data", str(prepared), "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out == (tmp_path / "report.md").read_text()
    assert (tmp_path / "confusion_matrix.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    again = {(row["fold"], row["metric"]): row["value"] for row in read_results(tmp_path / "results.csv")}
    rows = [row for row in read_results(system / "results.csv") if row["fold"] == "test"]
    assert rows
    for row in rows:
        assert float(again["test", row["metric"]]) == pytest.approx(float(row["value"]), abs=1e-6)


def test_a_comparison_says_by_how_much_two_systems_differ(system, prepared, tmp_path, capsys):
    arguments = ["evaluate", str(system), "--data", str(prepared), "--against", str(system), "--out", str(tmp_path)]
    assert main(arguments) == 0
    assert "**+0.000** (95 % paired bootstrap over dialogues: +0.000 to +0.000)" in capsys.readouterr().out


def test_another_file_for_results_is_refused_before_training(prepared, tmp_path, capsys):
    (tmp_path / "mine.csv").write_text("text,label\nno,sad\n")
    words = ["reproduce", "demo/miniature_text_cnn", "--data", str(prepared), "--out", str(tmp_path / "runs")]
    assert main([*words, "--results", str(tmp_path / "mine.csv")]) == 2
    assert "results file" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_recipes_are_compared_over_their_runs(runs, system, prepared, capsys):
    name = str(system.parent.parent.relative_to(runs))
    results = system / "results.csv"
    words = ["compare", name, "--runs", str(runs), "--results", str(results), "--data", str(prepared)]
    assert main(words) == 0
    value = next(
        row["value"] for row in read_results(results) if (row["fold"], row["metric"]) == ("test", "weighted_f1")
    )
    assert f"| {name} | 1 | {100 * float(value):.1f} |" in capsys.readouterr().out


def test_predict_prints_a_dialogue_as_a_table(system, prepared, capsys):
    assert main(["predict", "--model", str(system), "--data", str(prepared)]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = load_dataset(str(prepared), split="corpus").filter(lambda row: row["dialogue_id"].startswith("Ses05"))
    first = [row for row in rows if row["dialogue_id"] == rows["dialogue_id"][0]]
    assert len(lines) == len(first)
    for line, row in zip(lines, first, strict=True):
        assert row["transcript"][:40] in line
        assert "labelled" in line


@pytest.mark.parametrize("parts", [("text",), ("audio",), ("video",), ("text", "video")])
def test_predict_answers_on_either_modality(system, miniature, parts, capsys):
    sound = str(next(miniature.rglob("*.wav")))
    given = {"text": "what a day", "audio": sound, "video": sound}  # a video gives its sound
    words = [word for part in parts for word in (f"--{part}", given[part])]
    assert main(["predict", "--model", str(system), *words]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_encode_writes_a_prepared_dataset_with_the_column(system, prepared, tmp_path, capsys):
    out = tmp_path / "encoded"
    arguments = ["encode", "--model", str(system), "--data", str(prepared), "--column", "text", "--out", str(out)]
    assert main(arguments) == 0
    rows = load_prepared(out)
    assert len(rows) == len(load_dataset(str(prepared), split="corpus"))
    assert len({len(vector) for vector in rows["text"]}) == 1


def test_reproduce_records_every_seed_beside_the_published_figures(prepared, runs, tmp_path, capsys):
    results = tmp_path / "results.csv"
    tiny = ["training.epochs=1", "model.hidden_size=4", "model.num_filters=2"]
    arguments = [
        "reproduce",
        "demo/miniature_text_cnn",
        *tiny,
        "--data",
        str(prepared),
        "--out",
        str(tmp_path / "runs"),
    ]
    assert main([*arguments, "--seeds", "0", "1", "--results", str(results), "--quiet"]) == 0
    rows = read_results(results)
    assert {row["seed"] for row in rows} == {"0", "1"}
    text = (tmp_path / "RESULTS.md").read_text()
    assert "demo/miniature_text_cnn" in text
    assert "±" in text
    before = text
    assert main(["leaderboard", str(results)]) == 0
    assert (tmp_path / "RESULTS.md").read_text() == before


def test_list_and_doctor_say_what_is_here(capsys, monkeypatch):
    monkeypatch.setenv("MM_EMOTION_DATA", "/nowhere")
    assert main(["list", "--paper", "dialogue_rnn", "--modality", "text"]) == 0
    listed = capsys.readouterr().out
    assert "dialogue_rnn/iemocap_bidialogue_rnn_att_text" in listed
    assert "thesis/" not in listed
    assert main(["doctor"]) == 0
    report = capsys.readouterr().out
    assert f"torch {torch.__version__.split('+')[0]}" in report
    assert "ops: " in report
    assert "/nowhere: no such folder" in report


BAD = {
    "no such data folder": (["train", "demo/miniature_text_cnn", "--data", "/nowhere"], "/nowhere"),
    "unknown recipe": (["train", "demo/miniature_text_cn"], "did you mean 'demo/miniature_text_cnn'"),
    "unknown key": (["train", "demo/miniature_text_cnn", "training.epoch=1"], "did you mean 'epochs'"),
    "unknown model key": (["train", "demo/miniature_text_cnn", "model.hiden_size=1", "--data", "PREPARED"],
                          "did you mean 'hidden_size'"),
    "wrong width": (["train", "bc_lstm/iemocap_bc_lstm_text", "corpus.labels=six_way", "model.modality_dims={text: 7}",
                     "encoders={}", "--data", "PREPARED"], "text"),
    "no model": (["predict", "--model", "/nowhere", "--text", "x"], "model"),
    "no raw corpus": (["prepare", "iemocap", "--data-dir", "/nowhere", "--out", "OUT"], "/nowhere"),
    "no sound": (["predict", "--model", "SYSTEM", "--audio", "/nowhere.wav"], "/nowhere.wav"),
    "unknown dialogue": (["predict", "--model", "SYSTEM", "--data", "PREPARED", "--dialogue", "Ses09"], "'Ses09'"),
    "no word": (["predict", "--model", "SYSTEM", "--text", ""], "at least one word, a sound or a video"),
    "no word but a mark": (["predict", "--model", "SYSTEM", "--text", "?!"], "at least one word, a sound or a video"),
    "no raw corpus by name": (["prepare", "iemocap", "--data-dir", "/nowhere", "--out", "OUT"],
                              "mm-emotion prepare iemocap: data_dir"),
    "a negative seed": (["train", "demo/miniature_text_cnn", "--data", "PREPARED", "--seeds", "0", "-1"], "--seeds"),
    "an override that is no YAML": (["train", "demo/miniature_text_cnn", "--data", "PREPARED", "training.epochs=[1"],
                                    "valid YAML"),
    "evaluate at a file": (["evaluate", "SYSTEM", "--data", "PREPARED", "--out", "FILE"], "FILE"),
    "evaluate below a file": (["evaluate", "SYSTEM", "--data", "PREPARED", "--out", "BELOW"], "FILE"),
    "train at a file": (["train", "demo/miniature_text_cnn", "--data", "PREPARED", "--out", "FILE"], "FILE"),
    "train below a file": (["train", "demo/miniature_text_cnn", "--data", "PREPARED", "--out", "BELOW"], "FILE"),
    "prepare below a file": (["prepare", "iemocap", "--data-dir", "RAW", "--out", "BELOW"], "FILE"),
    "encode at a file": (["encode", "--model", "SYSTEM", "--data", "PREPARED", "--column", "text", "--out", "FILE"],
                         "FILE"),
    "a damaged model": (["predict", "--model", "DAMAGED", "--text", "x"], "config.json"),
    "a table of one's own": (["train", "demo/miniature_text_cnn", "--data", "TABLE"], "`mm-emotion prepare table`"),
    "no table to go on with": (["train", "--data", "/nowhere.csv", "--from", "SYSTEM"], "--data"),
    "no results to draw": (["figures", "/nowhere.csv"], "no such file"),
    "no results": (["leaderboard", "/nowhere.csv"], "/nowhere.csv"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_line(name, prepared, system, miniature, tmp_path, capsys):
    words, expected = BAD[name]
    places = {"PREPARED": prepared, "SYSTEM": system, "RAW": miniature, "OUT": tmp_path / "out"}
    places |= {"FILE": tmp_path / "file", "BELOW": tmp_path / "file" / "deep", "DAMAGED": tmp_path / "damaged"}
    places["TABLE"] = tmp_path / "my.csv"
    places["TABLE"].write_text("text,label\na,b\n")
    (tmp_path / "file").touch()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "config.json").write_text("{oops")
    words = [str(places.get(word, word)) for word in words]
    expected = str(places.get(expected, expected))
    if words[0] in ("train", "evaluate", "encode"):
        disable_progress_bars()
    if words[0] == "train" and "--out" in words:
        words += ["--quiet"]
    elif words[0] == "train":
        words += ["--out", str(tmp_path / "runs"), "--quiet"]
    assert main(words) == 2
    message = capsys.readouterr().err
    assert expected in message
    assert "Traceback" not in message
    assert len(message.strip().splitlines()) == 1
    assert message.startswith(f"mm-emotion {words[0]}")
    assert not (tmp_path / "out").exists()


def test_a_truncated_checkpoint_is_named(system, tmp_path, capsys):
    broken = tmp_path / "broken"
    shutil.copytree(system, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-50])
    assert main(["predict", "--model", str(broken), "--text", "x"]) == 2
    assert "intact" in capsys.readouterr().err


def test_a_folder_of_pickles_is_refused(system, tmp_path, capsys):
    pickled = tmp_path / "pickled"
    shutil.copytree(system, pickled)
    (pickled / "model.safetensors").unlink()
    torch.save({}, pickled / "pytorch_model.bin")
    assert main(["predict", "--model", str(pickled), "--text", "x"]) == 2
    assert "safetensors" in capsys.readouterr().err


def test_empty_sound_is_named(system, tmp_path, capsys):
    path = tmp_path / "empty.wav"
    soundfile.write(path, [], 16000)
    assert main(["predict", "--model", str(system), "--audio", str(path)]) == 2
    assert "empty.wav" in capsys.readouterr().err
