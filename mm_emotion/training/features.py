"""Features of a corpus by the very processor that is saved with the model, cached by content."""

import hashlib
from pathlib import Path

import numpy as np
from datasets import Dataset, Features, List, Value

from mm_emotion.data.rows import column_values
from mm_emotion.features.processor import EmotionProcessor


def add_features(rows: Dataset, processor: EmotionProcessor) -> Dataset:
    """`rows` with the feature columns that the processor makes, cached by all that they depend on."""
    if not processor.columns:
        return rows
    kinds = {name: List(Value("int32" if name == "input_ids" else "float32")) for name in processor.columns}
    features = Features({**rows.features, **kinds})
    fingerprint = _fingerprint(rows, processor)
    return rows.map(processor.utterance, features=features, desc="features", new_fingerprint=fingerprint)


def _fingerprint(rows: Dataset, processor: EmotionProcessor) -> str:
    """Hash of the rows, of everything fitted in the processor, and of the sound files as they are now."""
    digest = hashlib.sha256(rows._fingerprint.encode())
    digest.update(processor.to_json_string().encode())
    tokenizer = processor.tokenizer
    digest.update(repr((sorted(tokenizer.get_vocab().items()), sorted(tokenizer.init_kwargs.items()))).encode())
    tables = processor.latent_semantic
    if tables is not None:
        for family in (tables.words, tables.characters):
            digest.update(repr(list(family.terms)).encode())
            digest.update(family.weights.tobytes() + np.ascontiguousarray(family.components).tobytes())
        digest.update(tables.mean.tobytes() + tables.scale.tobytes())
    if "audio" in processor.columns and "audio_path" in rows.column_names:
        for path in column_values(rows, "audio_path"):
            if path and Path(path).is_file():
                found = Path(path).stat()
                digest.update(repr((path, found.st_size, found.st_mtime_ns)).encode())
    return digest.hexdigest()[:32]
