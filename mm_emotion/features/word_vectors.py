"""Pretrained word vectors as the first weights of an embedding table: GloVe, word2vec and fastText files.

A file is read once from front to back (or mapped into memory where it is an uncompressed binary), and only the
vectors of the wanted words are kept, so that a file of many gigabytes needs no more memory than the table.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from mm_emotion.errors import FeatureError, nearest
from mm_emotion.features.vector_files import Skipped, read_vectors
from mm_emotion.features.vocabulary import PADDING_ID, UNKNOWN_ID

UNKNOWN_RULES = ("zeros", "mean", "random")
"""What a word without a vector gets: zeros, the mean of the vectors found, or a draw with their deviation."""

_DEFAULT_SCALE = 0.05  # of a draw where the vectors found do not differ


@dataclass(frozen=True)
class Coverage:
    """How much of a vocabulary a file has: words, and occurrences where counts were given; and what was skipped."""

    words: int
    found: int
    missing: tuple[str, ...]
    skipped: Skipped
    occurrences: int | None = None
    occurrences_found: int | None = None

    def __str__(self) -> str:
        text = f"{self.found} of {self.words} words ({self.found / self.words:.1%})"
        if self.occurrences:
            text += f", {self.occurrences_found / self.occurrences:.1%} of their occurrences"
        lost = ", ".join(f"{number} {kind.replace('_', ' ')}" for kind, number in vars(self.skipped).items() if number)
        return f"{text}; skipped {lost}" if lost else text


@dataclass(frozen=True)
class EmbeddingTable:
    """`matrix` (V, D) float32, a row for each id of a vocabulary: 0 padding (zeros), 1 unknown, then the words."""

    matrix: np.ndarray
    coverage: Coverage


def embedding_table(
    path: str | os.PathLike,
    vocabulary: Mapping[str, int],
    *,
    unknown: str = "zeros",
    seed: int = 0,
    on_error: str = "raise",
    member: str | None = None,
    counts: Mapping[str, int] | None = None,
    progress: bool | None = None,
) -> EmbeddingTable:
    """The vectors of a file for `vocabulary`, word to id as `EmotionTokenizer.get_vocab` gives it.

    `path` is a text file of GloVe, word2vec or fastText, a word2vec binary, or a fastText model (`.bin`), plain, in
    gzip or in zip (`member` names the file where a zip holds several). `unknown` is a rule of `UNKNOWN_RULES`, with
    `seed` for draws, for the unknown word and for words without a vector. `on_error` "skip" counts bad lines in the
    coverage in place of raising. `counts`, occurrences of words, adds their share. `progress` None shows a bar on a
    terminal. Errors: FeatureError for an impossible option, a file that is missing or malformed, naming file and line,
    or that has none of the words.
    """
    if unknown not in UNKNOWN_RULES:
        raise FeatureError("unknown", " or ".join(UNKNOWN_RULES), repr(unknown), nearest(unknown, UNKNOWN_RULES))
    size = max(vocabulary.values(), default=UNKNOWN_ID) + 1
    words = {word: row for word, row in vocabulary.items() if row not in (PADDING_ID, UNKNOWN_ID)}
    if not words:
        raise FeatureError("vocabulary", "at least one word", "none")
    vectors, skipped = read_vectors(path, words.keys(), on_error=on_error, member=member, progress=progress)
    if not vectors:
        raise FeatureError(f"word vectors {str(path)!r}", f"some of {len(words)} words", "none of them")
    found = np.stack(list(vectors.values()))  # (N, D)
    matrix = np.zeros((size, found.shape[1]), dtype=np.float32)
    missing = [word for word in words if word not in vectors]
    matrix[[UNKNOWN_ID, *(words[word] for word in missing)]] = _unknown_rows(unknown, seed, found, 1 + len(missing))
    matrix[[words[word] for word in vectors]] = found
    occurrences = None if counts is None else sum(counts.get(word, 0) for word in words)
    occurrences_found = None if counts is None else sum(counts.get(word, 0) for word in vectors)
    coverage = Coverage(len(words), len(vectors), tuple(missing), skipped, occurrences, occurrences_found)
    return EmbeddingTable(matrix, coverage)


def start_from(embedding: torch.nn.Embedding, table: EmbeddingTable) -> None:
    """Copy the table into the first rows of an embedding; further rows, and whether it is trained, stay as they are.

    Errors: FeatureError when the embedding has fewer rows or another width.
    """
    rows, width = table.matrix.shape
    if embedding.num_embeddings < rows or embedding.embedding_dim != width:
        given = f"{embedding.num_embeddings} of {embedding.embedding_dim}"
        raise FeatureError("embedding", f"at least {rows} rows of {width} values", given)
    with torch.no_grad():
        embedding.weight[:rows] = torch.from_numpy(table.matrix).to(embedding.weight)


def _unknown_rows(rule: str, seed: int, found: np.ndarray, number: int) -> np.ndarray:
    """Vectors (number, D) for what has none, given the vectors found (N, D)."""
    if rule == "zeros":
        return np.zeros((number, found.shape[1]), dtype=np.float32)
    if rule == "mean":
        return np.broadcast_to(found.mean(axis=0), (number, found.shape[1]))
    scale = float(found.std()) or _DEFAULT_SCALE
    return np.random.default_rng(seed).normal(0, scale, (number, found.shape[1])).astype(np.float32)
