"""Features of a corpus by the very processor that is saved with the model, cached by content."""

import hashlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
from datasets import Dataset, Features, List, Value

from mm_emotion.data.corpus import MEDIA_COLUMNS
from mm_emotion.data.rows import column_values
from mm_emotion.features.column import KINDS, ColumnFeature
from mm_emotion.features.extractor import RAW, EmotionFeatureExtractor
from mm_emotion.features.processor import EmotionProcessor
from mm_emotion.features.sources import media_files


def add_raw_features(rows: Dataset, features: dict[str, dict]) -> Dataset:
    """`rows` with what the features of sound and motion make before anything is fitted, cached by their own options.

    So that every seed, fold and scaling reads the media once. `features` is a recipe's.
    """
    extractor = EmotionFeatureExtractor(
        {
            column: options
            for column, options in features.items()
            if column in KINDS and ColumnFeature.parse(column, options).is_stored
        }
    )
    if not extractor.columns:
        return rows
    names = {RAW + column: column for column in extractor.columns}
    digest = hashlib.sha256(rows._fingerprint.encode())
    for column, feature in sorted(extractor.columns.items()):
        digest.update(repr((column, feature.kind.version, feature.kind, feature.channel, feature.on_error)).encode())
    _add_media(digest, rows, list(extractor.columns))
    types = {name: _kind(extractor, column) for name, column in names.items()}
    return rows.map(
        lambda row: {name: extractor.extract(column, row) for name, column in names.items()},
        features=Features({**rows.features, **types}),
        desc="media",
        new_fingerprint=digest.hexdigest()[:32],
    )


def add_features(rows: Dataset, processor: EmotionProcessor) -> Dataset:
    """`rows` with the feature columns that the processor makes and a dataset can hold, cached by all they depend on."""
    columns = processor.stored_columns
    if not columns:
        return rows
    raw = [RAW + column for column in columns if RAW + column in rows.column_names]
    kept = {name: kind for name, kind in rows.features.items() if name not in raw}
    made = {name: _kind(processor.feature_extractor, name) for name in columns}
    if processor.word_sequences is not None:
        made["text"] = List(List(Value("float32")))
    features = Features({**kept, **made})
    fingerprint = _fingerprint(rows, processor)
    make = partial(processor.utterance, columns=columns)
    return rows.map(make, features=features, remove_columns=raw, desc="features", new_fingerprint=fingerprint)


def skipped_notes(rows: Dataset, processor: EmotionProcessor) -> list[str]:
    """How many utterances of `rows`, with the features added, lack one whose media could not be read, for each column.

    For the columns that were asked to skip these; of clips, which no dataset keeps, those that were read so far count.
    """
    notes = []
    for column, feature in processor.feature_extractor.columns.items():
        if feature.on_error != "skip":
            continue
        if column in rows.column_names:
            kept = rows.select_columns([name for name in rows.column_names if name in MEDIA_COLUMNS])
            values = zip(column_values(rows, column), kept, strict=True)
            count = sum(value is None and bool(media_files(row, column)) for value, row in values)
        else:
            count = len(processor.feature_extractor.skipped[column])
        notes.append(f"{column}: {count} utterances skipped, whose media could not be read")
    return notes


def made_columns(
    processor: EmotionProcessor | None, columns: Iterable[str]
) -> dict[str, Callable[[dict], np.ndarray | None]]:
    """Those of `columns` that the processor makes but no dataset keeps, with the function of a row that makes each."""
    if processor is None:
        return {}
    made = [name for name in columns if name in processor.columns and name not in processor.stored_columns]
    return {name: partial(processor.feature_extractor, name) for name in made}


def _kind(extractor: EmotionFeatureExtractor, column: str) -> List:
    """The type of a feature column: a list of values, or of steps that are lists of values."""
    if column == "input_ids":
        return List(Value("int32"))
    made = extractor.columns.get(column)
    return List(List(Value("float32"))) if made is not None and made.kind.axes == 2 else List(Value("float32"))


def _fingerprint(rows: Dataset, processor: EmotionProcessor) -> str:
    """Hash of the rows, of everything fitted in the processor, and of the media files as they are now."""
    digest = hashlib.sha256(rows._fingerprint.encode())
    digest.update(processor.to_json_string().encode())
    tokenizer = processor.tokenizer
    digest.update(repr((sorted(tokenizer.get_vocab().items()), sorted(tokenizer.init_kwargs.items()))).encode())
    if processor.pretrained_tokenizer is not None:
        digest.update(processor.pretrained_tokenizer.contents().encode())
    for column, scaling in sorted(processor.feature_extractor.scalings.items()):
        for name, values in scaling.tensors().items():
            digest.update(f"{column}.{name}".encode() + np.ascontiguousarray(values).tobytes())
    tables = processor.latent_semantic
    if tables is not None:
        for family in (tables.words, tables.characters):
            digest.update(repr(list(family.terms)).encode())
            digest.update(family.weights.tobytes() + np.ascontiguousarray(family.components).tobytes())
        digest.update(tables.mean.tobytes() + tables.scale.tobytes())
    sequences = processor.word_sequences
    if sequences is not None:
        digest.update(repr((list(sequences.tokenizer.get_vocab()), sequences.tokenizer.init_kwargs)).encode())
        digest.update(np.ascontiguousarray(sequences.matrix).tobytes())
    _add_media(digest, rows, [column for column in processor.stored_columns if column in KINDS])
    return digest.hexdigest()[:32]


def _add_media(digest, rows: Dataset, columns: list[str]) -> None:
    """Put the media files of the columns, as they are now, into a hash."""
    places = [name for name in ("audio_path", "video_path") if name in rows.column_names]
    if columns and places:
        for row in rows.select_columns(places):
            for path in (path for column in columns for path in media_files(row, column)):
                if Path(path).is_file():
                    found = Path(path).stat()
                    digest.update(repr((path, found.st_size, found.st_mtime_ns)).encode())
