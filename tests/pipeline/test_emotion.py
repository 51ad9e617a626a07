"""The registered pipeline answers for one input, for several, and the same stretch by stretch as at once."""

import pytest
import torch
from transformers import pipeline

from mm_emotion import EmotionProcessor, MultimodalEmotionPipeline, load_system
from mm_emotion.errors import CheckpointError, FeatureError
from mm_emotion.models.bc_lstm.configuration_bc_lstm import BCLSTMConfig
from mm_emotion.models.bc_lstm.modeling_bc_lstm import BCLSTMForEmotionRecognition

TURNS = [{"text": "what a day", "speaker": "A"}, {"text": "is it", "speaker": "B"}, {"text": "no", "speaker": "A"}]


@pytest.fixture
def emotions(system):
    model, processor = load_system(system)
    return MultimodalEmotionPipeline(model, processor=processor)


@pytest.fixture(scope="module")
def causal():
    """A small causal model of random weights on latent semantic vectors, and its processor."""
    rows = [{"text": text} for text in ("what a day", "is it so", "no it is not", "what is it", "a day so long")] * 3
    options = {"word_dimensions": 4, "character_dimensions": 4, "word_minimum": 1}
    processor = EmotionProcessor.fit(rows, {"text": options})
    torch.manual_seed(0)
    width = processor.widths["text"]
    sizes = {"recurrent_size": 6, "hidden_size": 5, "bidirectional": False}
    config = BCLSTMConfig(modality_dims={"text": width}, num_labels=3, **sizes)
    return MultimodalEmotionPipeline(BCLSTMForEmotionRecognition(config), processor=processor)


def test_the_task_is_known_to_transformers(system):
    answer = pipeline("multimodal-emotion", model=str(system))(TURNS)
    assert [row["speaker"] for row in answer] == ["A", "B", "A"]
    for row in answer:
        assert list(row["scores"]) == ["happy", "sad", "neutral", "angry", "excited", "frustrated"]
        assert sum(row["scores"].values()) == pytest.approx(1, abs=1e-5)
        assert row["score"] == row["scores"][row["label"]] == max(row["scores"].values())


def test_one_input_is_a_list_of_utterances_and_several_a_list_of_these(emotions):
    one = emotions("what a day")
    assert [row["text"] for row in one] == ["what a day"]
    assert emotions({"text": "what a day"}) == one
    several = emotions(["what a day", TURNS, {"text": "no"}], batch_size=2)
    assert [len(rows) for rows in several] == [1, 3, 1]
    for rows, alone in zip(several, (one, emotions(TURNS), emotions("no")), strict=True):
        for row, other in zip(rows, alone, strict=True):
            assert row["scores"] == pytest.approx(other["scores"], abs=1e-6)


def test_turns_of_several_dialogues_are_conversations_of_their_own(emotions):
    other = [{"text": "no", "speaker": "C"}, {"text": "is it what it is", "speaker": "D"}]
    mixed = [{**TURNS[0], "dialogue_id": "x"}, {**other[0], "dialogue_id": "y"}]
    mixed += [{**turn, "dialogue_id": "x"} for turn in TURNS[1:]] + [{**other[1], "dialogue_id": "y"}]
    (first, second), alone = emotions([mixed, "no"], batch_size=2), emotions(mixed)
    assert [row["text"] for row in alone] == [turn["text"] for turn in mixed]
    expected = [row["scores"] for source in (TURNS, other) for row in emotions(source)]
    for rows in (first, alone):
        for place, scores in zip((0, 2, 3, 1, 4), expected, strict=True):
            assert rows[place]["scores"] == pytest.approx(scores, abs=1e-6)
    assert second[0]["scores"] == pytest.approx(emotions("no")[0]["scores"], abs=1e-6)


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        ({"start": "a", "end": 1.0}, "start: expected seconds, got 'a'"),
        ({"end": "b"}, "end: expected seconds, got 'b'"),
        ({"party": "A"}, "party: expected a whole number, got 'A'"),
        ({"party": -1}, "party: expected a whole number from 0, got -1"),
        ({"dialogue_id": ["x"]}, "dialogue_id: expected one name or number"),
    ],
)
def test_what_is_no_number_or_name_is_named(emotions, turn, message):
    with pytest.raises(FeatureError, match=message):
        emotions({"text": "no", **turn})


def test_a_batch_has_at_least_one_input(emotions):
    with pytest.raises(FeatureError, match="batch_size: expected a whole number above 0, got 0"):
        emotions(["no", "yes"], batch_size=0)


def test_a_clip_has_times(emotions, miniature):
    path = next(miniature.glob("Session*/sentences/wav/*/*.wav"))
    (row,) = emotions(path)
    assert row["start"] == 0.0
    assert row["end"] > 0
    assert "text" not in row


def test_a_long_conversation_is_the_same_stretch_by_stretch(causal, monkeypatch):
    texts = ["what a day", "is it so"] * 4
    turns = [{"text": text, "speaker": speaker} for text, speaker in zip(texts, "AABACBBA", strict=True)]
    whole = causal(turns)
    calls = []
    step = causal.model.step
    monkeypatch.setattr(causal.model, "step", lambda *given: calls.append(1) or step(*given))
    monkeypatch.setattr("mm_emotion.pipeline.emotion._STRETCH", 3)
    parted = causal(turns)
    assert len(calls) == 3
    for row, other in zip(parted, whole, strict=True):
        assert row["scores"] == pytest.approx(other["scores"], abs=1e-6)


def test_a_progress_bar_shows_for_long_conversations_or_when_asked(causal, capsys):
    causal(["no"] * 3)
    assert capsys.readouterr().err == ""
    causal([{"text": "no"}] * 21)
    assert "21/21" in capsys.readouterr().err
    causal("no", progress_bar=True)
    assert "1/1" in capsys.readouterr().err


def test_an_affect_model_answers_with_its_values(emotions, monkeypatch):
    monkeypatch.setattr(emotions.model.config, "problem_type", "regression")
    (row,) = emotions("what a day")
    assert sum(row["scores"].values()) != pytest.approx(1, abs=1e-3)


def test_a_missing_modality_and_an_unknown_option_are_named(causal, miniature):
    with pytest.raises(FeatureError, match="an utterance with text, got none"):
        causal(next(miniature.glob("Session*/sentences/wav/*/*.wav")))
    with pytest.raises(FeatureError, match="'top_k'"):
        causal("no", top_k=3)


def test_a_processor_that_does_not_fit_is_refused_before_anything_runs(causal):
    width = causal.model.config.modality_dims["text"]
    other = BCLSTMForEmotionRecognition(BCLSTMConfig(modality_dims={"text": width + 1}, num_labels=3))
    with pytest.raises(CheckpointError, match=f"text: expected {width + 1} values, got {width} by the processor"):
        MultimodalEmotionPipeline(other, processor=causal.processor)
    deaf = BCLSTMForEmotionRecognition(BCLSTMConfig(modality_dims={"audio": 3}, num_labels=3))
    with pytest.raises(CheckpointError, match="a processor that makes audio, got one that makes text"):
        MultimodalEmotionPipeline(deaf, processor=causal.processor)
    with pytest.raises(CheckpointError, match="an EmotionProcessor, got NoneType"):
        MultimodalEmotionPipeline(other)


def test_a_prepared_row_without_times_is_a_whole_file(emotions, miniature):
    path = str(next(miniature.glob("Session*/sentences/wav/*/*.wav")))
    (row,) = emotions({"transcript": "no", "audio_path": path, "start": float("nan"), "end": float("nan")})
    assert "start" not in row and "end" not in row
    (whole,) = emotions({"transcript": "no", "audio_path": path, "start": 0.0})
    assert row["scores"] == pytest.approx(whole["scores"], abs=1e-6)
