"""What a stage is given beside the kept columns: word vectors to start from, clips made as they are read."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mm_emotion.data.collator import EmotionCollator
from mm_emotion.errors import BatchError, FeatureError, RecipeError
from mm_emotion.features.processor import EmotionProcessor
from mm_emotion.training.evaluation import predict
from mm_emotion.training.recipe import parse_recipe
from mm_emotion.training.stages import _start_from_vectors, build_model, collator_of, dataset_of

RECIPE = """
corpus: {name: iemocap, labels: six_way, split: session5_test}
features: {input_ids: {}}
model:
  {model_type: text_cnn, vocab_size: 20, embedding_size: 6, num_filters: 3, filter_widths: [1, 2], hidden_size: 5}
training: {epochs: 2, batch_size: 8, learning_rate: 1e-2, unit: utterance}
"""


def test_a_model_of_words_starts_from_the_recipe_s_vectors(corpus, tmp_path, monkeypatch):
    (tmp_path / "v.txt").write_text("lake 1 2 3 4 5 6\nrain 6 5 4 3 2 1\n")
    options = {"input_ids": {"word_vectors": {"path": str(tmp_path / "v.txt")}}}
    processor = EmotionProcessor.fit(list(corpus), options)
    model = build_model(parse_recipe(RECIPE, "words"))
    _start_from_vectors(model, processor)
    table = processor.embedding_table.matrix
    assert table[processor.tokenizer.encode_words("lake")].tolist() == [[1, 2, 3, 4, 5, 6]]
    np.testing.assert_array_equal(model.embedding.weight[: len(table)].detach().numpy(), table)
    monkeypatch.setattr(type(model), "get_input_embeddings", lambda self: None)
    with pytest.raises(RecipeError, match="word_vectors"):
        _start_from_vectors(model, processor)


def test_only_a_model_that_reads_speakers_limits_their_number():
    row = {"party": 5}
    blind = build_model(parse_recipe(RECIPE, "words"))
    assert collator_of(blind)([[row]])["speaker_mask"].shape == (1, 1, 6)
    model = "{model_type: cmn, modality_dims: {text: 4}, num_parties: 3}"
    heard = build_model(parse_recipe(RECIPE, "x", [f"model={model}"]))
    with pytest.raises(BatchError, match="party of utterance 0"):
        collator_of(heard)([[row]])


def test_clips_are_made_when_an_utterance_is_read(corpus, tmp_path):
    import av

    path = tmp_path / "clip.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
        for level in range(20):
            image = np.full((16, 16), 10 * level, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="gray")))
        container.mux(stream.encode())
    rows = corpus.select(range(3)).remove_columns("video_path")
    rows = rows.add_column("video_path", [str(path), "", str(path)])
    clips = {"visual": {"frames": 2, "height": 4, "width": 4, "colour": "grey"}}
    processor = EmotionProcessor.fit([], clips)
    model = SimpleNamespace(input_shapes=lambda: {"text": (8,), "visual": (1, 2, 4, 4)})
    dataset = dataset_of(model, parse_recipe(RECIPE, "clips"), rows, processor)
    items = [dataset[item][0] for item in range(3)]
    assert items[1]["visual"] is None
    np.testing.assert_array_equal(items[2]["visual"], processor.utterance(rows[2])["visual"])
    assert items[0]["visual"].mean() < items[2]["visual"].mean()
    batch = EmotionCollator(2)([[item] for item in items])
    assert batch["modality_mask"][:, 0, 2].tolist() == [True, False, True]
    with pytest.raises(FeatureError, match="column 'visual'"):
        dataset_of(model, parse_recipe(RECIPE, "clips"), rows)


def test_predictions_of_wide_inputs_come_in_small_batches(corpus, monkeypatch):
    recipe = parse_recipe(RECIPE, "words")
    processor = EmotionProcessor.fit(list(corpus), recipe.features)
    rows = corpus.map(processor.utterance)
    model = build_model(recipe)
    dataset = dataset_of(model, replace(recipe, training=replace(recipe.training, unit="utterance")), rows)
    sizes = []

    def collate(items):
        sizes.append(len(items))
        return EmotionCollator(2)(items)

    whole = predict(model, dataset, collate)
    monkeypatch.setattr("mm_emotion.training.prediction._BATCH_VALUES", 3)
    again = predict(model, dataset, collate)
    assert sizes[0] == len(dataset)
    assert max(sizes[1:]) == 3
    np.testing.assert_allclose(again.logits, whole.logits, atol=1e-6)
