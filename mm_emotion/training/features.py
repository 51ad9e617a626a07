"""Features of a corpus by the very processor that is saved with the model, cached by content."""

import hashlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
from datasets import Dataset, Features, List, Value

from mm_emotion.features.processor import EmotionProcessor
from mm_emotion.features.sources import media_files


def add_features(rows: Dataset, processor: EmotionProcessor) -> Dataset:
    """`rows` with the feature columns that the processor makes and a dataset can hold, cached by all they depend on."""
    columns = processor.stored_columns
    if not columns:
        return rows
    features = Features({**rows.features, **{name: _kind(processor, name) for name in columns}})
    fingerprint = _fingerprint(rows, processor)
    make = partial(processor.utterance, columns=columns)
    return rows.map(make, features=features, desc="features", new_fingerprint=fingerprint)


def made_columns(
    processor: EmotionProcessor | None, columns: Iterable[str]
) -> dict[str, Callable[[dict], np.ndarray | None]]:
    """Those of `columns` that the processor makes but no dataset keeps, with the function of a row that makes each."""
    if processor is None:
        return {}
    made = [name for name in columns if name in processor.columns and name not in processor.stored_columns]
    return {name: partial(processor.feature_extractor, name) for name in made}


def _kind(processor: EmotionProcessor, column: str) -> List:
    """The type of a feature column: a list of values, or of steps that are lists of values."""
    if column == "input_ids":
        return List(Value("int32"))
    made = processor.feature_extractor.columns.get(column)
    return List(List(Value("float32"))) if made is not None and made.kind.axes == 2 else List(Value("float32"))


def _fingerprint(rows: Dataset, processor: EmotionProcessor) -> str:
    """Hash of the rows, of everything fitted in the processor, and of the media files as they are now."""
    digest = hashlib.sha256(rows._fingerprint.encode())
    digest.update(processor.to_json_string().encode())
    tokenizer = processor.tokenizer
    digest.update(repr((sorted(tokenizer.get_vocab().items()), sorted(tokenizer.init_kwargs.items()))).encode())
    for column, scaling in sorted(processor.feature_extractor.scalings.items()):
        for name, values in scaling.tensors().items():
            digest.update(f"{column}.{name}".encode() + np.ascontiguousarray(values).tobytes())
    tables = processor.latent_semantic
    if tables is not None:
        for family in (tables.words, tables.characters):
            digest.update(repr(list(family.terms)).encode())
            digest.update(family.weights.tobytes() + np.ascontiguousarray(family.components).tobytes())
        digest.update(tables.mean.tobytes() + tables.scale.tobytes())
    made = [column for column in processor.stored_columns if column in processor.feature_extractor.columns]
    places = [name for name in ("audio_path", "video_path") if name in rows.column_names]
    if made and places:
        for row in rows.select_columns(places):
            for path in (path for column in made for path in media_files(row, column)):
                if Path(path).is_file():
                    found = Path(path).stat()
                    digest.update(repr((path, found.st_size, found.st_mtime_ns)).encode())
    return digest.hexdigest()[:32]
