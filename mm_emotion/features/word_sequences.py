"""Word-vector sequences: each word of a transcript becomes its pretrained vector, which nothing trains any further.

The vectors of the words of the training transcripts are kept and saved with the model, so that it needs no file of
vectors later; every other word is the unknown one.
"""

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mm_emotion.atomic import replace_file
from mm_emotion.errors import CheckpointError
from mm_emotion.features.vocabulary import EmotionTokenizer
from mm_emotion.features.word_vectors import embedding_table

VERSION = 1
FILE_NAME = "word_sequences.safetensors"
_WORD_OPTIONS = ("pad_side", "max_length", "truncation_side", "punctuation")
OPTIONS = ("path", "unknown", "seed", "on_error", "member", "max_words", *_WORD_OPTIONS)
"""What `WordSequences.fit` takes beside the transcripts: options of `embedding_table` and of `EmotionTokenizer`."""


@dataclass(frozen=True)
class WordSequences:
    """Transcript -> (T, D) float32, one row a word; `matrix` (V, D) has a row for each id of `tokenizer`.

    `coverage` says how many of the words the file had.
    """

    tokenizer: EmotionTokenizer
    matrix: np.ndarray
    coverage: str

    @classmethod
    def fit(cls, transcripts: Sequence[str], *, path: str | os.PathLike, **options) -> "WordSequences":
        """The vectors that the file at `path` has for the words of `transcripts`; the options are `OPTIONS`.

        Errors: FeatureError for an impossible option, transcripts without a word, or what `embedding_table` raises.
        """
        of_vectors = {key: value for key, value in options.items() if key in ("unknown", "seed", "on_error", "member")}
        of_words = {key: value for key, value in options.items() if key not in of_vectors}
        tokenizer = EmotionTokenizer.fit(transcripts, **of_words)
        counts = Counter(word for text in transcripts for word in tokenizer.words(text))
        table = embedding_table(path, tokenizer.get_vocab(), counts=counts, **of_vectors)
        return cls(tokenizer, table.matrix, str(table.coverage))

    @property
    def size(self) -> int:
        return self.matrix.shape[1]

    def transform(self, transcript: str) -> np.ndarray:
        """The vectors (T, D) of one transcript; padding is zeros, a transcript without words one unknown word."""
        return self.matrix[self.tokenizer.encode_words(transcript)]

    def save(self, folder: str | os.PathLike) -> Path:
        """Write `word_sequences.safetensors` into a folder: the vectors, with words and options in its header."""
        metadata = {
            "version": str(VERSION),
            "words": json.dumps(list(self.tokenizer.get_vocab())[2:]),  # without padding and the unknown word
            "options": json.dumps({name: getattr(self.tokenizer, name) for name in _WORD_OPTIONS}),
            "coverage": self.coverage,
        }
        with replace_file(Path(folder) / FILE_NAME) as temporary:
            save_file({"matrix": np.ascontiguousarray(self.matrix)}, temporary, metadata=metadata)
        return Path(folder) / FILE_NAME

    @classmethod
    def load(cls, path: str | os.PathLike) -> "WordSequences":
        """Read what `save` wrote; raises CheckpointError when the file is damaged or of another version."""
        try:
            with safe_open(path, framework="np") as file:
                matrix, metadata = file.get_tensor("matrix"), file.metadata() or {}
            if metadata.get("version") != str(VERSION):
                raise CheckpointError(f"version of {path}", VERSION, metadata.get("version"), "fit the processor again")
            tokenizer = EmotionTokenizer(words=json.loads(metadata["words"]), **json.loads(metadata["options"]))
            made = cls(tokenizer, matrix, metadata["coverage"])
        except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
            raise CheckpointError(str(path), "intact word vectors", repr(error)) from error
        if len(matrix) != tokenizer.vocab_size:
            raise CheckpointError(str(path), f"{tokenizer.vocab_size} vectors, one for each word", len(matrix))
        return made
