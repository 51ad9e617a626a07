"""One seed from corpus to saved system: stages, protocol, out-of-fold encoding, and the errors on the way."""

import json
from dataclasses import replace

import numpy as np
import pytest
from datasets import Dataset
from transformers import AutoModel, AutoProcessor

from mm_emotion.data.collator import EmotionCollator
from mm_emotion.data.corpus import DialogueDataset
from mm_emotion.data.splits import resolve_split
from mm_emotion.errors import CheckpointError, CorpusError, EmotionError, FeatureError, RecipeError
from mm_emotion.training import loop, reproduction, stages
from mm_emotion.training.evaluation import predict
from mm_emotion.training.features import add_features
from mm_emotion.training.recipe import load_recipe, parse_recipe
from mm_emotion.training.reproduction import run_seed

CORPUS = "corpus: {name: iemocap, labels: six_way, split: session5_test}\n"
TRAINING = "{epochs: 2, batch_size: 8, learning_rate: 1e-2, patience: 5, unit: %s}\n"
STAGE_ONE = f"""{CORPUS}
features: {{input_ids: {{}}}}
model:
  {{model_type: text_cnn, vocab_size: 20, embedding_size: 6, num_filters: 3, filter_widths: [1, 2], hidden_size: 5}}
training: {TRAINING % "utterance"}
"""
STAGE_TWO = f"""{CORPUS}
encoders: {{text: {{recipe: STAGE_ONE}}}}
model: {{model_type: bc_lstm, modality_dims: {{text: 5}}, recurrent_size: 4, hidden_size: 4}}
training: {TRAINING % "dialogue"}
protocol: {{record_test_selection: true, seeds: [0]}}
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "stage_one.yaml"
    path.write_text(STAGE_ONE)
    return parse_recipe(STAGE_TWO.replace("STAGE_ONE", str(path)), "two_stage")


@pytest.fixture(scope="module")
def words(request) -> Dataset:
    """The corpus without its ready-made text vectors."""
    return request.getfixturevalue("corpus").remove_columns("text")


@pytest.fixture(scope="module")
def split(words):
    return resolve_split(words, "session5_test", validation_dialogues=3)


def run(recipe, words, split, tmp_path, **options):
    return run_seed(recipe, words, split, seed=0, out=tmp_path / "runs", progress_bar=False, **options)


def test_a_two_stage_system_is_one_checkpoint_with_the_same_predictions(recipe, words, split, tmp_path):
    outcome = run(recipe, words, split, tmp_path)
    model = AutoModel.from_pretrained(outcome.model_folder)
    processor = AutoProcessor.from_pretrained(outcome.model_folder)
    assert model.config.model_type == "hierarchical"
    rows = add_features(words.filter(lambda row: row["session"] == 5), processor)
    dataset = DialogueDataset(rows, unit="dialogue", columns=["input_ids"])
    again = predict(model, dataset, EmotionCollator(2))
    np.testing.assert_allclose(again.logits, outcome.predictions["test"].logits, atol=1e-5)


def test_every_encoder_reads_what_the_corpus_has(corpus, tmp_path):
    dense = f"""{CORPUS}
model: {{model_type: audio_dense, modality_dims: {{text: 8}}, hidden_size: 8}}
training: {TRAINING % "utterance"}
"""
    overrides = ["model.modality_dims={text: 8, audio: 8}"]
    for modality in ("text", "audio"):
        (tmp_path / f"{modality}.yaml").write_text(dense)
        overrides.append(f"encoders.{modality}={{recipe: {tmp_path / modality}.yaml}}")
    recipe = parse_recipe(STAGE_TWO, "both", overrides)
    outcome = run(recipe, corpus, resolve_split(corpus, "session5_test", validation_dialogues=3), tmp_path)
    first, second = AutoModel.from_pretrained(outcome.model_folder).encoders
    for name, value in first.state_dict().items():
        assert value.equal(second.state_dict()[name]), name


def test_word_vectors_are_started_from_and_noted(words, split, tmp_path):
    (tmp_path / "v.txt").write_text("lake 1 2 3 4 5 6\nrain 6 5 4 3 2 1\n")
    vectors = f"{{word_vectors: {{path: {tmp_path / 'v.txt'}}}}}"
    text = STAGE_ONE.replace("input_ids: {}", f"input_ids: {vectors}").replace("epochs: 2", "epochs: 1")
    text = text.replace("learning_rate: 1e-2", "learning_rate: 1e-9")
    outcome = run(parse_recipe(text, "words"), words, split, tmp_path)
    assert any(note.startswith("word vectors: 2 of ") for note in outcome.notes)
    tokenizer = AutoProcessor.from_pretrained(outcome.model_folder).tokenizer
    embedding = AutoModel.from_pretrained(outcome.model_folder).embedding.weight.detach()
    np.testing.assert_allclose(embedding[tokenizer.encode_words("rain")[0]], [6, 5, 4, 3, 2, 1], atol=1e-5)


def test_results_say_what_chose_the_epoch_and_mark_the_leak(recipe, words, split, tmp_path):
    rows = run(recipe, words, split, tmp_path).rows
    assert {row["selected_on"] for row in rows if row["fold"] == "validation"} == {"validation"}
    assert {row["selected_on"] for row in rows if row["fold"] == "test"} == {"validation", "test (legacy, leaks)"}
    assert {row["n"] for row in rows if row["fold"] == "test"} == {len([s for s in words["session"] if s == 5])}
    scenarios = {row["fold"]: row["n"] for row in rows if row["fold"].startswith("test/")}
    assert sum(scenarios.values()) == next(row["n"] for row in rows if row["fold"] == "test")


def test_the_strict_protocol_never_hands_over_the_test_part(recipe, words, split, tmp_path, monkeypatch):
    handed = []

    def watched(model, train_set, selection_sets, *arguments, **options):
        handed.append((train_set, dict(selection_sets)))
        return train(model, train_set, selection_sets, *arguments, **options)

    train = stages.train
    monkeypatch.setattr(stages, "train", watched)
    strict = parse_recipe(
        STAGE_TWO.replace("record_test_selection: true, ", "").replace("STAGE_ONE", str(tmp_path / "stage_one.yaml")),
        "strict",
    )
    run(strict, words, split, tmp_path)
    assert len(handed) == 2
    test_dialogues = set(split.test)
    for train_set, selection_sets in handed:
        assert set(selection_sets) == {"validation"}
        assert not test_dialogues & set(train_set.dialogue_ids)
        assert not test_dialogues & set(selection_sets["validation"].dialogue_ids)
        assert set(selection_sets["validation"].dialogue_ids) == set(split.validation)


def test_out_of_fold_vectors_differ_on_train_rows_alone(recipe, words, split, tmp_path):
    captured = {}
    add = reproduction.add_vectors

    def keep(name):
        def add_and_keep(rows, column, vectors, present):
            captured[name] = vectors.copy()
            return add(rows, column, vectors, present)

        return add_and_keep

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reproduction, "add_vectors", keep("in_fold"))
        run(recipe, words, split, tmp_path)
        patch.setattr(reproduction, "add_vectors", keep("out_of_fold"))
        path = recipe.encoders["text"].recipe
        text = STAGE_TWO.replace("STAGE_ONE", f"{path}, training_features: out_of_fold, folds: 3")
        run(parse_recipe(text, "out_of_fold"), words, split, tmp_path)
    is_train = np.isin(np.asarray(words["dialogue_id"], dtype=object), split.train)
    same = np.isclose(captured["in_fold"], captured["out_of_fold"]).all(axis=1)
    assert same[~is_train].all()
    assert not same[is_train].all()


def test_encoded_log_probabilities_stand_behind_the_recipes_own_vectors(recipe, words, split, tmp_path):
    path = recipe.encoders["text"].recipe
    text = STAGE_TWO.replace(
        "STAGE_ONE", f"{path}, output: log_probabilities, training_features: out_of_fold, folds: 2"
    )
    text = text.replace("modality_dims: {text: 5}", "modality_dims: {text: 10}")
    text += "features: {text: {word_dimensions: 2, character_dimensions: 2, word_minimum: 1, character_minimum: 1}}\n"
    outcome = run(parse_recipe(text, "both"), words, split, tmp_path)
    model = AutoModel.from_pretrained(outcome.model_folder)
    assert (model.config.vectors, model.config.outputs) == ({"text": 4}, ["log_probabilities"])
    processor = AutoProcessor.from_pretrained(outcome.model_folder)
    rows = add_features(words.filter(lambda row: row["session"] == 5), processor)
    dataset = DialogueDataset(rows, unit="dialogue", columns=list(model.input_shapes()))
    again = predict(model, dataset, EmotionCollator(2))
    np.testing.assert_allclose(again.logits, outcome.predictions["test"].logits, atol=1e-5)


def test_a_second_start_takes_finished_stages_as_they_are(recipe, words, split, tmp_path, monkeypatch):
    first = run(recipe, words, split, tmp_path)

    def no_step(*arguments):
        raise AssertionError("a finished run was trained again")

    monkeypatch.setattr(loop.Run, "step", no_step)
    second = run(recipe, words, split, tmp_path)
    assert np.array_equal(first.predictions["test"].logits, second.predictions["test"].logits)


def test_other_validation_labels_are_another_run(recipe, words, split, tmp_path):
    run(recipe, words, split, tmp_path)
    labels = [(row["label"] + (row["dialogue_id"] in split.validation)) % 6 for row in words]
    changed = words.remove_columns("label").add_column("label", labels).cast_column("label", words.features["label"])
    with pytest.raises(CheckpointError, match="other data or settings"):
        run(recipe, changed, split, tmp_path)


def test_rows_out_of_order_are_refused(words, split, tmp_path, recipe):
    with pytest.raises(CorpusError):
        run(recipe, words.shuffle(seed=0), split, tmp_path)


def test_a_stage_one_that_chose_on_test_marks_the_second_stage(words, split, tmp_path):
    path = tmp_path / "leaky.yaml"
    path.write_text(STAGE_ONE + "protocol: {select_on: test}\n")
    rows = run(parse_recipe(STAGE_TWO.replace("STAGE_ONE", str(path)), "x"), words, split, tmp_path).rows
    assert {row["selected_on"] for row in rows} == {"test (legacy, leaks)"}


def test_stage_one_learns_the_labels_of_its_parent(recipe, words, tmp_path):
    split = resolve_split(words, "session_fold_1")
    parent = replace(recipe, corpus=replace(recipe.corpus, split="session_fold_1"))
    run(parent, words, split, tmp_path)
    folders = {path.name for path in (tmp_path / "runs").rglob("*session_fold_1")}
    assert folders == {"stage_one+six_way-session_fold_1"}
    four = replace(recipe, corpus=replace(recipe.corpus, labels="four_way"))
    encoder = replace(recipe.encoders["text"], recipe="demo/miniature_text_cnn")
    with pytest.raises(RecipeError, match="4 labels, as four_way has"):
        stages.stage_one_recipe(encoder, four)


def test_an_utterance_without_words_is_missing_in_both_stages(recipe, words, split, tmp_path):
    transcripts = [None if index % 3 == 0 else text for index, text in enumerate(words["transcript"])]
    rows = words.remove_columns("transcript").add_column("transcript", transcripts)
    outcome = run(recipe, rows, split, tmp_path)
    processor = AutoProcessor.from_pretrained(outcome.model_folder)
    model = AutoModel.from_pretrained(outcome.model_folder)
    part = add_features(rows.filter(lambda row: row["session"] == 5), processor)
    again = predict(model, DialogueDataset(part, unit="dialogue", columns=["input_ids"]), EmotionCollator(2))
    np.testing.assert_allclose(again.logits, outcome.predictions["test"].logits, atol=1e-5)


def test_an_unlabelled_part_is_named_before_training(recipe, words, split, tmp_path):
    labels = [None if row["dialogue_id"] in split.validation else row["label"] for row in words]
    rows = words.remove_columns("label").add_column("label", labels, feature=words.features["label"])
    with pytest.raises(CorpusError, match="labels of the validation part"):
        run(recipe, rows, split, tmp_path)


def test_class_weights_balance_the_training_part(words, split, tmp_path):
    recipe = parse_recipe(STAGE_ONE, "weighted", ["training.class_weights=inverse_frequency", "training.epochs=1"])
    outcome = run(recipe, words, split, tmp_path)
    weights = json.loads((outcome.model_folder / "config.json").read_text())["class_weights"]
    labels = np.array([row["label"] for row in words if row["dialogue_id"] in split.train])
    counts = np.bincount(labels, minlength=6)
    np.testing.assert_allclose(np.array(weights) * counts, len(labels) / 6)


def test_a_modality_without_a_column_is_named(words, split, tmp_path):
    recipe = parse_recipe(STAGE_TWO, "x", ["encoders={}", "model.modality_dims={audio: 3}"])
    with pytest.raises(FeatureError, match="column 'audio'"):
        run(recipe, words, split, tmp_path)


def test_a_wrong_width_is_named_before_training(corpus, tmp_path):
    split = resolve_split(corpus, "session5_test", validation_dialogues=3)
    recipe = parse_recipe(STAGE_TWO, "x", ["encoders={}", "model.modality_dims={text: 7}"])
    with pytest.raises(EmotionError, match=r"text: expected a feature width of 7, got 8"):
        run(recipe, corpus, split, tmp_path)


def test_a_vocabulary_that_does_not_fit_is_named(words, split, tmp_path):
    recipe = parse_recipe(STAGE_ONE, "x", ["model.vocab_size=4"])
    with pytest.raises(EmotionError, match="input_ids: expected word indices below 4"):
        run(recipe, words, split, tmp_path)


def test_stages_that_want_a_feature_made_differently_are_refused(recipe, words, split, tmp_path):
    text = STAGE_TWO.replace("STAGE_ONE", recipe.encoders["text"].recipe) + "features: {input_ids: {max_words: 3}}\n"
    with pytest.raises(RecipeError, match=r"features\.input_ids"):
        run(parse_recipe(text, "x"), words, split, tmp_path)


def test_out_of_fold_needs_whole_dialogues(recipe, words, tmp_path):
    split = resolve_split(words, "validation_utterances_20")
    text = STAGE_TWO.replace("STAGE_ONE", f"{recipe.encoders['text'].recipe}, training_features: out_of_fold")
    with pytest.raises(RecipeError, match="in_fold"):
        run(parse_recipe(text, "x"), words, split, tmp_path)


def test_two_seeds_differ_and_one_seed_repeats(words, split, tmp_path):
    recipe = parse_recipe(STAGE_ONE, "seeds", ["training.epochs=1"])
    logits = [
        run_seed(recipe, words, split, seed=seed, out=tmp_path / name, progress_bar=False).predictions["test"].logits
        for seed, name in ((0, "a"), (0, "b"), (1, "a"))
    ]
    assert np.array_equal(logits[0], logits[1])
    assert not np.allclose(logits[0], logits[2])


def test_regression_recipes_train_on_one_affect_dimension(corpus, tmp_path):
    values = np.random.default_rng(0).uniform(-1, 1, len(corpus)).astype("float32")
    rows = corpus.remove_columns("label").add_column("affect", [[value] for value in values.tolist()])
    recipe = parse_recipe(
        """
corpus: {name: iemocap, labels: valence, split: session5_test}
model: {model_type: dialogue_rnn, num_labels: 1, modality_dims: {text: 8}, global_size: 4, party_size: 4,
        emotion_size: 4, hidden_size: 4, context_attention: simple, activation: tanh}
training: {epochs: 2, batch_size: 8, learning_rate: 1e-2}
""",
        "regression",
    )
    split = resolve_split(rows, "session5_test", validation_dialogues=3)
    outcome = run(recipe, rows, split, tmp_path)
    found = {row["metric"] for row in outcome.rows}
    assert found == {"mean_absolute_error", "pearson", "concordance_correlation"}
    assert AutoModel.from_pretrained(outcome.model_folder).config.problem_type == "regression"


def test_the_recipes_of_the_field_share_their_split_through_both_stages():
    for name in ("dialogue_rnn/iemocap_bidialogue_rnn_att_text", "bc_lstm/iemocap_bc_lstm_text"):
        recipe = load_recipe(name)
        assert load_recipe(recipe.encoders["text"].recipe).corpus == recipe.corpus
        assert recipe.protocol.select_on == "validation"


@pytest.mark.parametrize(
    ("name", "features"),
    [("ours/iemocap_bc_lstm_text_prosody", ["audio"]), ("bc_lstm/iemocap_bc_lstm_text", []), ("ours/iemocap_text", [])],
)
def test_the_corpus_is_asked_for_what_a_stage_reads_and_none_makes(name, features, monkeypatch):
    monkeypatch.setattr(reproduction, "open_corpus", lambda *arguments: arguments[-1])
    assert reproduction.open_corpus_of(load_recipe(name)) == features


def test_a_scenario_leaves_the_other_dialogues_out(corpus, monkeypatch):
    monkeypatch.setattr(reproduction, "open_corpus", lambda *arguments: corpus)
    text = f"{CORPUS}model: {{model_type: bc_lstm, modality_dims: {{text: 8}}}}\ntraining: {TRAINING % 'dialogue'}"
    recipe = parse_recipe(text, "x", ["corpus.scenario=improvised"])
    rows = reproduction.open_corpus_of(recipe)
    assert 0 < len(rows) < len(corpus) and set(rows["scenario"]) == {"improvised"}
    assert reproduction.open_corpus_of(parse_recipe(text, "x")) is corpus
    monkeypatch.setattr(reproduction, "open_corpus", lambda *arguments: corpus.remove_columns("scenario"))
    with pytest.raises(CorpusError, match="scenario"):
        reproduction.open_corpus_of(recipe)
