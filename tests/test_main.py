"""The commands, from a raw folder to a table of emotions, and what they say when the input is bad."""

import json
import shutil
import subprocess
import sys

import pytest
import soundfile
import torch
from datasets import load_dataset

from mm_emotion.__main__ import main
from mm_emotion.data.corpus import load_prepared
from mm_emotion.training.evaluation import read_results

COMMANDS = ["train", "reproduce", "evaluate", "encode", "predict", "list", "leaderboard", "doctor"]


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
    assert all(command in result.stdout for command in [*COMMANDS, "prepare"])
    result = subprocess.run(
        [sys.executable, "-m", "mm_emotion", "prepare"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert "mm-emotion prepare iemocap --data-dir" in result.stdout


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


def test_predict_prints_a_dialogue_as_a_table(system, prepared, capsys):
    assert main(["predict", "--model", str(system), "--data", str(prepared)]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = load_dataset(str(prepared), split="corpus").filter(lambda row: row["dialogue_id"].startswith("Ses05"))
    first = [row for row in rows if row["dialogue_id"] == rows["dialogue_id"][0]]
    assert len(lines) == len(first)
    for line, row in zip(lines, first, strict=True):
        assert row["transcript"][:40] in line
        assert "labelled" in line


@pytest.mark.parametrize("parts", [("text",), ("audio",), ("text", "audio")])
def test_predict_answers_on_either_modality(system, miniature, parts, capsys):
    given = {"text": "what a day", "audio": str(next(miniature.rglob("*.wav")))}
    words = [word for part in parts for word in (f"--{part}", given[part])]
    assert main(["predict", "--model", str(system), *words]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_encode_writes_a_prepared_dataset_with_the_column(runs, prepared, tmp_path, capsys):
    encoder = runs / "demo" / "miniature_dialogue" / "seed0" / "model"
    out = tmp_path / "encoded"
    arguments = ["encode", "--model", str(encoder), "--data", str(prepared), "--column", "text", "--out", str(out)]
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
    assert main(["list"]) == 0
    listed = capsys.readouterr().out
    assert "dialogue_rnn/iemocap_bidialogue_rnn_att_text" in listed
    assert "hierarchical" in listed
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
    "no results": (["leaderboard", "/nowhere.csv"], "/nowhere.csv"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_line(name, prepared, system, tmp_path, capsys):
    words, expected = BAD[name]
    places = {"PREPARED": str(prepared), "SYSTEM": str(system), "OUT": str(tmp_path / "out")}
    words = [places.get(word, word) for word in words]
    if words[0] == "train":
        words += ["--out", str(tmp_path / "runs"), "--quiet"]
    assert main(words) == 2
    message = capsys.readouterr().err
    assert expected in message
    assert "Traceback" not in message
    assert len(message.strip().splitlines()) == 1
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
