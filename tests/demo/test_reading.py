"""What the page shows: emotions, what a modality brings, attention, and a conversation that goes on."""

import numpy as np
import pytest
import soundfile
import torch

from mm_emotion.demo.reading import LiveConversation, modalities_read, read, read_clip, say, turns_of
from mm_emotion.demo.render import reading_html
from mm_emotion.errors import ConfigError, FeatureError
from mm_emotion.hub import tiny_checkpoint
from mm_emotion.models import MODELS
from mm_emotion.models.bc_lstm.configuration_bc_lstm import BCLSTMConfig
from mm_emotion.models.bc_lstm.modeling_bc_lstm import BCLSTMForEmotionRecognition
from mm_emotion.models.dialogue_rnn.configuration_dialogue_rnn import DialogueRNNConfig
from mm_emotion.models.dialogue_rnn.modeling_dialogue_rnn import DialogueRNNForEmotionRecognition
from mm_emotion.pipeline import MultimodalEmotionPipeline, load_system

SOUND = (np.random.default_rng(0).standard_normal(16000).astype(np.float32) * 0.1, 16000)
TURNS = [{"speaker": "A", "text": "we are all there"}, {"speaker": "B", "text": "leave me alone", "audio": SOUND}]


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    """A tiny causal DialogueRNN on words and sound."""
    model, processor = load_system(tiny_checkpoint("dialogue_rnn", tmp_path_factory.mktemp("tiny") / "causal"))
    return MultimodalEmotionPipeline(model, processor=processor)


@pytest.fixture(scope="module")
def looking(causal):
    """A tiny DialogueRNN with attention over the whole conversation, and the same processor."""
    torch.manual_seed(0)
    config = DialogueRNNConfig(
        modality_dims=causal.model.config.modality_dims, num_labels=4, bidirectional=True, use_attention=True,
        global_size=8, party_size=8, emotion_size=8, hidden_size=8,
    )  # fmt: skip
    return MultimodalEmotionPipeline(DialogueRNNForEmotionRecognition(config), processor=causal.processor)


def test_a_reading_is_what_the_pipeline_says(looking):
    reading = read(looking, TURNS)
    for row, expected in zip(reading.utterances, looking(TURNS), strict=True):
        assert row["scores"] == pytest.approx(expected["scores"], abs=1e-6)
    assert reading.attention.shape == (2, 2)
    np.testing.assert_allclose(reading.attention.sum(axis=1), 1, atol=1e-5)


def test_several_conversations_are_refused(looking):
    with pytest.raises(FeatureError, match=r"dialogue_id: expected one conversation .* got 2"):
        read(looking, [{**turn, "dialogue_id": turn["speaker"]} for turn in TURNS])


def test_a_contribution_is_what_the_label_loses_without_the_modality(causal):
    reading = read(causal, TURNS)
    assert list(reading.contributions) == ["text", "audio"]
    silent = causal([{key: value for key, value in turn.items() if key != "audio"} for turn in TURNS])
    for index, row in enumerate(reading.utterances):
        lost = row["score"] - silent[index]["scores"][row["label"]]
        assert reading.contributions["audio"][index] == pytest.approx({row["label"]: lost}, abs=1e-6)
    assert read(causal, TURNS[:1]).contributions == {}


@pytest.mark.parametrize("family", ["dialogue_rnn", "cmn", "memnet"])
def test_a_causal_model_looks_back_with_all_its_attention(family, tmp_path):
    model, processor = load_system(tiny_checkpoint(family, tmp_path / family))
    attention = read(MultimodalEmotionPipeline(model, processor=processor), TURNS * 2).attention
    np.testing.assert_allclose(attention.sum(axis=1), [0, 1, 1, 1], atol=1e-5)
    assert not np.triu(attention).any()


def test_a_model_without_attention_over_utterances_shows_none(tmp_path):
    model, processor = load_system(tiny_checkpoint("text_te", tmp_path / "text_te"))
    assert read(MultimodalEmotionPipeline(model, processor=processor), TURNS).attention is None


def test_each_dimension_of_a_regression_has_its_contribution(tmp_path):
    model, processor = load_system(tiny_checkpoint("affect_dnn", tmp_path / "affect"))
    affect = MultimodalEmotionPipeline(model, processor=processor)
    reading = read(affect, TURNS[1])
    (silent,) = affect({"text": TURNS[1]["text"]})
    lost = {name: value - silent["scores"][name] for name, value in reading.utterances[0]["scores"].items()}
    assert reading.is_regression
    assert reading.contributions["audio"] == [pytest.approx(lost, abs=1e-6)]


def test_a_long_clip_is_cut_unless_its_words_come_with_it(causal, tmp_path):
    speech = np.random.default_rng(0).standard_normal(8000 * 9) * 0.1
    path = str(tmp_path / "long.wav")
    soundfile.write(path, np.concatenate([speech, np.zeros(8000), speech]), 8000)
    assert len(read_clip(causal, path, " ").utterances) == 2
    reading = read_clip(causal, path, "what a day\n")
    assert [(row["text"], row["start"], row["end"]) for row in reading.utterances] == [("what a day", 0.0, 19.0)]
    assert list(reading.contributions) == ["text", "audio"]


@pytest.mark.parametrize("family", [config.model_type for config, _ in MODELS if config.model_type != "video_cnn3d"])
def test_every_family_is_read_and_shown_and_goes_on_live(family, tmp_path):
    model, processor = load_system(tiny_checkpoint(family, tmp_path / family))
    predict = MultimodalEmotionPipeline(model, processor=processor)
    turns = [turn if "text" in modalities_read(predict) else {**turn, "audio": SOUND} for turn in TURNS]
    reading = read(predict, turns)
    page = reading_html(reading)
    assert all(name in page for name in reading.utterances[0]["scores"])
    assert bool(reading.contributions) == (len(modalities_read(predict)) > 1)
    if model.config.is_causal:
        live = say(predict, say(predict, LiveConversation(), turns[0]), turns[1])
        assert live.utterances[1]["scores"] == pytest.approx(reading.utterances[1]["scores"], abs=1e-5)


def test_what_the_processor_does_not_make_is_not_read(tmp_path):
    model, processor = load_system(tiny_checkpoint("mfn", tmp_path / "mfn"))
    assert modalities_read(MultimodalEmotionPipeline(model, processor=processor)) == ["audio"]


def test_a_live_conversation_says_what_the_whole_would(causal):
    live, turns = LiveConversation(), [*TURNS, {"speaker": "C", "text": "what a day"}, {"speaker": "A", "text": "no"}]
    for turn in turns:
        before, live = live, say(causal, live, turn)
        assert len(before.utterances) + 1 == len(live.utterances)
    for row, expected in zip(live.utterances, causal(turns), strict=True):
        assert row["scores"] == pytest.approx(expected["scores"], abs=1e-6)


def test_a_model_that_looks_ahead_has_no_live_conversation(looking):
    with pytest.raises(ConfigError, match="is_causal"):
        say(looking, LiveConversation(), TURNS[0])


def test_pasted_lines_are_turns():
    text = "Anna: hello: you\n\nand more\nBen:\nBen:  yes \na line that goes on for longer than any name: no speaker"
    assert turns_of(text) == [
        {"speaker": "Anna", "text": "hello: you"},
        {"speaker": "Anna", "text": "and more"},
        {"speaker": "Anna", "text": "Ben:"},
        {"speaker": "Ben", "text": "yes"},
        {"speaker": "Ben", "text": "a line that goes on for longer than any name: no speaker"},
    ]
    assert turns_of("hello") == [{"speaker": "A", "text": "hello"}]
    assert turns_of("B2: 7 of us\nat 10:30 we left") == [
        {"speaker": "B2", "text": "7 of us"},
        {"speaker": "B2", "text": "at 10:30 we left"},
    ]
    with pytest.raises(FeatureError, match="conversation"):
        turns_of(" \n ")


def test_bc_lstm_is_blind_to_speakers_and_takes_any_number(causal):
    config = BCLSTMConfig(modality_dims=causal.model.config.modality_dims, num_labels=4, bidirectional=False)
    blind = MultimodalEmotionPipeline(BCLSTMForEmotionRecognition(config), processor=causal.processor)
    live = LiveConversation()
    for speaker in "ABCD":
        live = say(blind, live, {"speaker": speaker, "text": "what a day"})
    assert len(live.utterances) == 4
