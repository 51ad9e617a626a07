"""A table of one's own, from the csv to a saved system that predicts."""

import pytest
import torch
import yaml
from datasets import Dataset
from transformers import AutoConfig, AutoModel

from datasets_scripts._builder import prepare
from datasets_scripts.table import Table
from mm_emotion.__main__ import main
from mm_emotion.errors import CorpusError, FeatureError, RecipeError
from mm_emotion.features.processor import EmotionProcessor
from mm_emotion.pipeline import MultimodalEmotionPipeline, load_system
from mm_emotion.training.fine_tuning import check_readable, start_from_model
from mm_emotion.training.recipe import load_recipe
from mm_emotion.training.reproduction import open_corpus_of, resolve_labels

RECIPE = {
    "corpus": {"name": "table", "labels": "own", "split": "five_fold_1"},
    "features": {"input_ids": {}},
    "model": {"model_type": "text_cnn", "vocab_size": 12, "embedding_size": 4, "hidden_size": 4, "filter_widths": [1]},
    "training": {"epochs": 1, "batch_size": 8, "learning_rate": 1.0e-2, "unit": "utterance"},
}
WORDS = {"bliss": "lake", "calm": "door", "rage": "rain"}


def write_table(path, words=WORDS, text="transcript"):
    lines = [f"{text},speaker,label"]
    for speaker in range(6):
        lines += [f"{word} now,s{speaker},{label}" for label, word in words.items()]
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def mine(tmp_path):
    prepare(Table, None, write_table(tmp_path / "my.csv"), tmp_path / "mine")
    return tmp_path / "mine"


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(RECIPE))
    return tmp_path / "tiny.yaml"


def test_a_recipe_takes_its_names_from_the_table_and_a_saved_system_knows_them(tmp_path, mine, recipe, capsys):
    out = tmp_path / "runs"
    assert main(["train", str(recipe), "--data", str(mine), "--out", str(out), "--quiet"]) == 0
    folder = next(out.rglob("model"))
    assert load_recipe(str(folder / "recipe.yaml")).label_names == ("bliss", "calm", "rage")
    model, processor = load_system(folder)
    assert model.config.id2label == {0: "bliss", 1: "calm", 2: "rage"}
    found = MultimodalEmotionPipeline(model, processor=processor, progress_bar=False)({"text": "lake now"})
    assert found[0]["label"] in WORDS
    assert main(["evaluate", str(folder), "--data", str(mine), "--out", str(tmp_path / "report")]) == 0
    assert "bliss" in capsys.readouterr().out


def test_names_are_resolved_once_and_held_to(tmp_path, mine, recipe):
    unresolved = load_recipe(str(recipe))
    assert unresolved.label_names == ()
    resolved = resolve_labels(unresolved, mine)
    assert resolved.label_names == ("bliss", "calm", "rage")
    other = prepare(Table, None, write_table(tmp_path / "other.csv", {"calm": "a", "gloom": "b"}), tmp_path / "other")
    assert other.found["label gloom"] == 6
    with pytest.raises(CorpusError, match="bliss, calm, rage, as the recipe has, got calm, gloom"):
        open_corpus_of(resolved, tmp_path / "other")
    reordered = load_recipe(str(recipe), ["corpus.names=[rage, calm, bliss]"])
    rows = open_corpus_of(reordered, mine)
    assert rows.features["label"].names == ["rage", "calm", "bliss"]
    for row in rows:
        assert WORDS[reordered.label_names[row["label"]]] in row["transcript"]


def test_wrong_names_and_counts_are_refused(mine, recipe):
    with pytest.raises(RecipeError, match="num_labels: expected 3"):
        resolve_labels(load_recipe(str(recipe), ["model.num_labels=4"]), mine)
    with pytest.raises(RecipeError, match="at least two names"):
        load_recipe(str(recipe), ["corpus.names=[a, a]"])
    with pytest.raises(RecipeError, match="has names of its own"):
        load_recipe("bc_lstm/iemocap_bc_lstm_text", ["corpus.names=[a, b, c, d, e, f]"])
    with pytest.raises(CorpusError, match="affect"):
        open_corpus_of(load_recipe(str(recipe), ["corpus.labels=affect"]), mine)


def test_numbers_need_the_regression_and_say_so(tmp_path, recipe):
    (tmp_path / "numbers.csv").write_text("transcript,label\na,1\nb,2\nc,3\n")
    prepare(Table, None, tmp_path / "numbers.csv", tmp_path / "numbers")
    with pytest.raises(CorpusError, match="for a regression"):
        resolve_labels(load_recipe(str(recipe)), tmp_path / "numbers")
    rows = open_corpus_of(load_recipe(str(recipe), ["corpus.labels=affect"]), tmp_path / "numbers")
    assert rows["affect"] == [[1.0], [2.0], [3.0]]


@pytest.fixture
def system(tmp_path, mine, recipe):
    assert main(["train", str(recipe), "--data", str(mine), "--out", str(tmp_path / "runs"), "--quiet"]) == 0
    return next((tmp_path / "runs").rglob("model"))


def test_a_system_goes_on_from_its_weights_with_a_new_head(tmp_path, system, capsys):
    table = write_table(tmp_path / "yours.csv", {"glad": "lake", "sorry": "door"})
    out = tmp_path / "tuned"
    words = ["train", "training.epochs=1", "training.learning_rate=1e-9", "--data", str(table), "--from", str(system)]
    assert main([*words, "--out", str(out), "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert "new classifier for 2 labels: glad, sorry (the system had bliss, calm, rage)" in printed
    assert "by speakers" in printed
    folder = next(out.rglob("model"))
    tuned, _ = load_system(folder)
    before = load_system(system)[0].state_dict()
    for name, value in tuned.state_dict().items():
        if not name.startswith("classifier."):
            torch.testing.assert_close(value, before[name], atol=1e-6, rtol=0)
    assert tuned.config.id2label == {0: "glad", 1: "sorry"}
    assert main(["evaluate", str(folder), "--data", str(out / "data/yours"), "--out", str(tmp_path / "r")]) == 0


def test_a_head_for_the_same_labels_is_kept(tmp_path, system, capsys):
    table = write_table(tmp_path / "again.csv")
    words = ["train", "--data", str(table), "--from", str(system), "training.learning_rate=1e-9"]
    assert main([*words, "--out", str(tmp_path / "tuned"), "--quiet"]) == 0
    assert "classifier kept: bliss, calm, rage" in capsys.readouterr().out
    tuned = load_system(next((tmp_path / "tuned").rglob("model")))[0].state_dict()
    for name, value in load_system(system)[0].state_dict().items():
        torch.testing.assert_close(tuned[name], value, atol=1e-6, rtol=0)


def test_a_system_of_two_stages_goes_on_as_one_network(tmp_path, runs, miniature, capsys):
    (start,) = runs.glob("demo/miniature_dialogue */seed0/model")
    sounds = sorted(miniature.rglob("sentences/wav/*/*.wav"))[:24]
    moods = [("glad", "up"), ("sorry", "down")]
    lines = [
        f"{path},{word} to hear it,d{index // 3},s{index // 3}{index % 2},{label}"
        for index, path in enumerate(sounds)
        for word, label in [moods[index % 2]]
    ]
    table = tmp_path / "yours.csv"
    table.write_text("\n".join(["audio_path,transcript,dialogue_id,speaker,label", *lines]))
    words = ["train", "training.epochs=1", "training.learning_rate=1e-9", "--data", str(table), "--from", str(start)]
    assert main([*words, "--out", str(tmp_path / "tuned"), "--quiet"]) == 0
    assert "new classifier for 2 labels: down, up" in capsys.readouterr().out
    folder = next((tmp_path / "tuned").rglob("model"))
    tuned, before = load_system(folder)[0], load_system(start)[0].state_dict()
    for name, value in tuned.state_dict().items():
        if name.startswith("encoders."):
            assert torch.equal(value, before[name])
        elif not name.startswith("dialogue.classifier."):
            torch.testing.assert_close(value, before[name], atol=1e-6, rtol=0)
    assert tuned.state_dict()["dialogue.classifier.weight"].shape[0] == 2
    data = ["--data", str(tmp_path / "tuned/data/yours")]
    assert main(["evaluate", str(folder), *data, "--out", str(tmp_path / "r")]) == 0
    capsys.readouterr()
    assert main(["predict", "--model", str(folder), *data]) == 0
    assert "glad to hear it" in capsys.readouterr().out  # and no times, as the table has none
    again = [*words[:-1], str(folder), "--out", str(tmp_path / "again"), "--quiet", "model.freeze_encoders=false"]
    assert main(again) == 0
    assert "classifier kept: down, up" in capsys.readouterr().out


def test_the_head_within_a_stack_is_a_head_too():
    stack = {"model_type": "sequence_stack", "modality_dims": {"text": 3}, "stages": [{"kind": "lstm", "units": 2}]}
    sizes = {"modality_dims": {"text": 3}, "stack": stack}
    start, model = (AutoModel.from_config(AutoConfig.for_model("early_fusion", **sizes, num_labels=k)) for k in (2, 3))
    head = model.stack.classifier.weight.clone()
    start_from_model(model, start)
    assert torch.equal(model.stack.classifier.weight, head)
    for name, value in start.state_dict().items():
        assert name.startswith("stack.classifier.") or torch.equal(model.state_dict()[name], value)


def test_fine_tuning_names_what_is_wrong(tmp_path, system, capsys):
    def fails(*words):
        assert main(["train", *words, "--from", str(system), "--out", str(tmp_path / "x"), "--quiet"]) == 2
        return capsys.readouterr().err

    (tmp_path / "v.mp4").write_bytes(b"a clip")
    (tmp_path / "clips.csv").write_text("video_path,label\n" + "v.mp4,a\nv.mp4,b\n" * 3)
    assert "transcript: expected a value in some row: the system reads input_ids" in fails(
        "--data", str(tmp_path / "clips.csv")
    )
    (tmp_path / "numbers.csv").write_text("transcript,label\na,1\nb,2\nc,3\n")
    assert "expected classes, as the system gives, got numbers" in fails("--data", str(tmp_path / "numbers.csv"))
    assert "--data: expected your table" in fails()
    assert "none beside --from" in fails("bc_lstm/iemocap_bc_lstm_text", "--data", str(tmp_path / "clips.csv"))


def test_rows_of_another_width_are_refused():
    model = AutoModel.from_config(AutoConfig.for_model("bc_lstm", modality_dims={"text": 4}, num_labels=2))
    rows = Dataset.from_dict({"text": [[1.0, 2.0]], "transcript": ["a"]})
    with pytest.raises(FeatureError, match="column 'text': expected 4 values, as the system reads, got 2"):
        check_readable(model, EmotionProcessor(), rows)
    with pytest.raises(FeatureError, match="no such column"):
        check_readable(model, EmotionProcessor(), rows.remove_columns("text"))


def test_a_system_that_cannot_go_on_is_refused_before_the_table_is_prepared(
    tmp_path, mine, recipe, capsys, monkeypatch
):
    out = tmp_path / "runs"
    assert main(["train", str(recipe), "--data", str(mine), "--out", str(out), "--quiet"]) == 0
    monkeypatch.setattr("mm_emotion.training.fine_tuning.FITTED", ("text_cnn",))
    words = ["train", "--data", str(tmp_path / "my.csv"), "--from", str(next(out.rglob("model")))]
    assert main([*words, "--out", str(tmp_path / "more")]) == 2
    assert "--from" in capsys.readouterr().err
    assert not (tmp_path / "more").exists()
