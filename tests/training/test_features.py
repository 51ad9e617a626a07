"""Cached features are those of this very processor and of the sound files as they are now."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from datasets import Dataset

from mm_emotion.data.rows import column_values
from mm_emotion.errors import FeatureError
from mm_emotion.features.processor import EmotionProcessor
from mm_emotion.training.features import add_features, add_raw_features, skipped_notes


def test_another_vocabulary_is_not_served_from_the_cache(corpus, tmp_path):
    """Rows on disk, where `map` caches: a processor fitted on other rows must encode them anew."""
    corpus.remove_columns("text").to_parquet(tmp_path / "corpus.parquet")
    rows = Dataset.from_parquet(str(tmp_path / "corpus.parquet"), cache_dir=str(tmp_path / "cache"))
    for transcripts in (["lake rain so"], ["train well train so door"]):
        processor = EmotionProcessor.fit([{"transcript": text} for text in transcripts], {"input_ids": {}})
        encoded = add_features(rows, processor)
        expected = [processor.tokenizer.encode_words(text) for text in rows["transcript"]]
        assert [list(ids) for ids in encoded["input_ids"]] == expected


def test_a_changed_sound_file_is_read_anew(corpus, tmp_path):
    path = tmp_path / "sound.wav"
    random = np.random.default_rng(0)
    soundfile.write(path, 0.1 * random.standard_normal(8000), 16000)
    some = corpus.select(range(2)).remove_columns(["text", "audio_path"]).add_column("audio_path", [str(path)] * 2)
    some.to_parquet(tmp_path / "corpus.parquet")
    rows = Dataset.from_parquet(str(tmp_path / "corpus.parquet"), cache_dir=str(tmp_path / "cache"))
    processor = EmotionProcessor.fit(list(rows), {"audio": {}})
    first = np.array(add_features(rows, processor)["audio"])
    assert np.array_equal(first, np.array(add_features(rows, processor)["audio"]))
    soundfile.write(path, 0.5 * random.standard_normal(9000), 16000)
    assert not np.allclose(first, np.array(add_features(rows, processor)["audio"]))


def test_sequences_are_kept_and_clips_are_not(corpus, tmp_path):
    path = tmp_path / "sound.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(8000), 16000)
    rows = corpus.select(range(3)).remove_columns(["text", "audio_path"])
    rows = rows.add_column("audio_path", [str(path), "", str(path)])
    wanted = {"audio": {"feature": "short_term", "scaling": "min_max"}, "visual": {"frames": 2}}
    processor = EmotionProcessor.fit(list(rows), wanted)
    made = add_features(rows, processor)
    assert "visual" not in made.column_names
    first, missing, last = column_values(made, "audio")
    assert missing is None
    np.testing.assert_array_equal(first, processor.utterance(rows[0], ["audio"])["audio"])
    np.testing.assert_array_equal(first, last)


def test_word_sequences_are_stored_and_other_vectors_are_others(corpus, tmp_path):
    corpus.remove_columns("text").to_parquet(tmp_path / "corpus.parquet")
    rows = Dataset.from_parquet(str(tmp_path / "corpus.parquet"), cache_dir=str(tmp_path / "cache"))
    path = tmp_path / "vectors.txt"
    words = sorted({word for text in rows["transcript"] for word in text.lower().split()})
    for level in (1, 2):
        path.write_text("".join(f"{word} {level} {number}\n" for number, word in enumerate(words)))
        processor = EmotionProcessor.fit(list(rows), {"text": {"feature": "word_vectors", "path": str(path)}})
        made = column_values(add_features(rows, processor), "text")
        assert made[0].ndim == 2 and set(made[0][:, 0]) <= {0, level} and made[0].any()
        np.testing.assert_array_equal(made[0], processor.utterance(rows[0])["text"])


def test_media_are_read_once_for_every_processor(corpus, tmp_path):
    random = np.random.default_rng(0)
    paths = [str(tmp_path / f"{number}.wav") for number in range(3)]
    for path in paths:
        soundfile.write(path, 0.1 * random.standard_normal(8000), 16000)
    rows = corpus.select(range(4)).remove_columns(["text", "audio_path"]).add_column("audio_path", [*paths, ""])
    rows.to_parquet(tmp_path / "corpus.parquet")
    rows = Dataset.from_parquet(str(tmp_path / "corpus.parquet"), cache_dir=str(tmp_path / "cache"))
    wanted = {"audio": {"feature": "short_term"}, "input_ids": {}, "visual": {}}
    direct = add_features(rows, EmotionProcessor.fit(list(rows), wanted))
    raw = add_raw_features(rows, wanted)
    for path in paths:
        Path(path).unlink()
    made = add_features(raw, EmotionProcessor.fit(raw, wanted))
    assert made.column_names == direct.column_names
    for found, expected in zip(column_values(made, "audio"), column_values(direct, "audio"), strict=True):
        np.testing.assert_array_equal(found, expected)
    other = add_features(raw, EmotionProcessor.fit(raw, {"audio": {"feature": "short_term", "scaling": "none"}}))
    assert not np.allclose(column_values(other, "audio")[0], column_values(direct, "audio")[0])
    soundfile.write(paths[0], np.zeros(8000), 16000)
    with pytest.raises(FeatureError, match="no such file"):  # the files have changed: they are read anew
        add_raw_features(rows, wanted)


def test_skipped_utterances_are_reported(corpus, tmp_path):
    path = tmp_path / "sound.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(8000), 16000)
    (tmp_path / "bad.wav").write_text("no sound")
    rows = corpus.select(range(3)).remove_columns(["text", "audio_path"])
    rows = rows.add_column("audio_path", [str(path), "", str(tmp_path / "bad.wav")])
    wanted = {"audio": {"on_error": "skip"}}
    raw = add_raw_features(rows, wanted)
    processor = EmotionProcessor.fit(list(raw), wanted)
    made = add_features(raw, processor)
    assert [value is None for value in column_values(made, "audio")] == [False, True, True]
    assert skipped_notes(made, processor) == ["audio: 1 utterances skipped, whose media could not be read"]
    assert skipped_notes(made, EmotionProcessor.fit(list(rows.select([0])), {"audio": {}})) == []
