"""Latent semantic vectors of transcripts: tf-idf of word and character n-grams, projected by a truncated SVD.

Deerwester et al. (1990). Nothing comes from elsewhere: terms, weights and projection are fitted on given transcripts.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

from mm_emotion.atomic import replace_file
from mm_emotion.errors import CheckpointError, FeatureError

VERSION = 1
FILE_NAME = "latent_semantic.safetensors"
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


@dataclass(frozen=True)
class Projection:
    """One family of terms: `weights` (V,) inverse document frequencies and `components` (V, D) float32."""

    terms: dict[str, int]
    weights: np.ndarray
    components: np.ndarray


@dataclass(frozen=True)
class LatentSemantic:
    """Transcript -> (D,) float32: word dimensions, then character dimensions, standardised by `mean` and `scale`."""

    words: Projection
    characters: Projection
    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(
        cls,
        transcripts: Sequence[str],
        *,
        word_dimensions: int = 100,
        character_dimensions: int = 100,
        word_minimum: int = 2,
        character_minimum: int = 3,
    ) -> "LatentSemantic":
        """Fit on transcripts; a term counts when at least `*_minimum` transcripts hold it.

        Raises FeatureError when a number of dimensions is under 1, or there are fewer transcripts or terms.
        """
        words = [word_terms(text) for text in transcripts]
        characters = [character_terms(text) for text in transcripts]
        fitted = cls(
            _fit(words, word_dimensions, word_minimum, "word_dimensions"),
            _fit(characters, character_dimensions, character_minimum, "character_dimensions"),
            np.zeros(word_dimensions + character_dimensions, dtype=np.float32),
            np.ones(word_dimensions + character_dimensions, dtype=np.float32),
        )
        vectors = np.stack([fitted.transform(text) for text in transcripts])  # (N, D)
        return replace(fitted, mean=vectors.mean(axis=0), scale=np.maximum(vectors.std(axis=0), 1e-6))

    @property
    def size(self) -> int:
        return self.words.components.shape[1] + self.characters.components.shape[1]

    def transform(self, transcript: str) -> np.ndarray:
        """The vector (D,) of one transcript; without a known term it is that of an empty one."""
        words = _project(self.words, word_terms(transcript))
        characters = _project(self.characters, character_terms(transcript))
        return (np.concatenate([words, characters]) - self.mean) / self.scale

    def save(self, folder: str | os.PathLike) -> Path:
        """Write `latent_semantic.safetensors` into a folder: the arrays, with the terms as JSON in its header."""
        tensors = {"mean": self.mean, "scale": self.scale}
        for name in ("words", "characters"):
            family = getattr(self, name)
            tensors |= {
                f"{name}.weights": family.weights,
                f"{name}.components": np.ascontiguousarray(family.components),
            }
        terms = {name: list(getattr(self, name).terms) for name in ("words", "characters")}
        with replace_file(Path(folder) / FILE_NAME) as temporary:
            save_file(tensors, temporary, metadata={"terms": json.dumps(terms), "version": str(VERSION)})
        return Path(folder) / FILE_NAME

    @classmethod
    def load(cls, path: str | os.PathLike) -> "LatentSemantic":
        """Read what `save` wrote; raises CheckpointError when the file is damaged or of another version."""
        try:
            with safe_open(path, framework="np") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                metadata = file.metadata() or {}
            if metadata.get("version") != str(VERSION):
                raise CheckpointError(f"version of {path}", VERSION, metadata.get("version"), "fit the processor again")
            terms = json.loads(metadata["terms"])
            families = {
                name: Projection(
                    {term: row for row, term in enumerate(terms[name])},
                    tensors[f"{name}.weights"],
                    tensors[f"{name}.components"],
                )
                for name in ("words", "characters")
            }
            return cls(**families, mean=tensors["mean"], scale=tensors["scale"])
        except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
            raise CheckpointError(str(path), "intact latent semantic tables", repr(error)) from error


def word_terms(text: str) -> list[str]:
    """Lower-case words and pairs of neighbours; question and exclamation marks count as words."""
    words = re.findall(rf"{_WORD.pattern}|[?!]", text.lower())
    return words + [f"{first} {second}" for first, second in pairwise(words)]


def character_terms(text: str) -> list[str]:
    """Character 2- to 4-grams inside each lower-case word, whose ends are marked by spaces."""
    terms = []
    for word in _WORD.findall(text.lower()):
        padded = f" {word} "
        for width in (2, 3, 4):
            terms += [padded[start : start + width] for start in range(len(padded) - width + 1)]
    return terms


def _fit(documents: Sequence[Iterable[str]], dimensions: int, minimum: int, field: str) -> Projection:
    if type(dimensions) is not int or dimensions < 1:
        raise FeatureError(field, "an integer of at least 1", repr(dimensions))
    counts = [Counter(document) for document in documents]
    frequency = Counter(term for count in counts for term in count)
    terms = {term: row for row, term in enumerate(sorted(t for t, number in frequency.items() if number >= minimum))}
    if min(len(documents), len(terms)) <= dimensions:
        raise FeatureError(field, f"fewer than the {len(documents)} transcripts and the {len(terms)} terms", dimensions)
    weights = np.array([np.log((1 + len(documents)) / (1 + frequency[term])) + 1 for term in terms], dtype=np.float32)
    indices, values, starts = [], [], [0]
    for count in counts:
        rows, weighted = _weigh(count, terms, weights)
        indices.append(rows)
        values.append(weighted)
        starts.append(starts[-1] + len(rows))
    matrix = csr_array((np.concatenate(values), np.concatenate(indices), starts), shape=(len(documents), len(terms)))
    start = np.random.default_rng(0).standard_normal(min(matrix.shape))
    _, strengths, components = svds(matrix.astype(np.float64), k=dimensions, v0=start)  # (D, V)
    components = components[np.argsort(-strengths)]
    signs = np.sign(components[np.arange(dimensions), np.abs(components).argmax(axis=1)])
    return Projection(terms, weights, (components * signs[:, None]).T.astype(np.float32))


def _weigh(count: Counter, terms: dict[str, int], weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and values of one transcript: (1 + log count) times weight, scaled to length 1."""
    known = [(terms[term], number) for term, number in count.items() if term in terms]
    rows = np.array([row for row, _ in known], dtype=np.int64)
    values = (1 + np.log([number for _, number in known], dtype=np.float32)) * weights[rows] if known else np.zeros(0)
    return rows, values / max(float(np.linalg.norm(values)), 1e-12)


def _project(projection: Projection, terms: Iterable[str]) -> np.ndarray:
    rows, values = _weigh(Counter(terms), projection.terms, projection.weights)
    return (values @ projection.components[rows]).astype(np.float32)
