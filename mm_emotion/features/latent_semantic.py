"""Latent semantic vectors of transcripts: tf-idf of word and character n-grams, projected by a truncated SVD.

Deerwester et al. (1990). Nothing comes from elsewhere: terms, weights and projection are fitted on the given transcripts.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

from mm_emotion.errors import FeatureError

VERSION = "latent_semantic-1"
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


@dataclass(frozen=True)
class Projection:
    """One family of terms: `weights` (V,) inverse document frequencies and `components` (V, D) float32."""

    terms: dict[str, int]
    weights: np.ndarray
    components: np.ndarray


@dataclass(frozen=True)
class LatentSemantic:
    """Transcript -> (D,) float32: the word dimensions, then the character dimensions."""

    words: Projection
    characters: Projection

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

        Raises FeatureError when there are fewer transcripts or terms than dimensions.
        """
        return cls(
            _fit([word_terms(text) for text in transcripts], word_dimensions, word_minimum, "word_dimensions"),
            _fit(
                [character_terms(text) for text in transcripts],
                character_dimensions,
                character_minimum,
                "character_dimensions",
            ),
        )

    @property
    def size(self) -> int:
        return self.words.components.shape[1] + self.characters.components.shape[1]

    def transform(self, transcript: str) -> np.ndarray:
        """The vector (D,) of one transcript, zeros where it holds no known term."""
        return np.concatenate(
            [
                _project(self.words, word_terms(transcript)),
                _project(self.characters, character_terms(transcript)),
            ]
        )

    def tensors(self) -> dict[str, np.ndarray]:
        """The fitted arrays by name, for a safetensors file; `terms` holds the rest."""
        return {
            f"{name}.{part}": np.ascontiguousarray(getattr(getattr(self, name), part))
            for name in ("words", "characters")
            for part in ("weights", "components")
        }

    def terms(self) -> dict[str, list[str]]:
        """The terms of each family in the order of their rows."""
        return {name: list(getattr(self, name).terms) for name in ("words", "characters")}

    @classmethod
    def restore(cls, tensors: dict[str, np.ndarray], terms: dict[str, list[str]]) -> "LatentSemantic":
        """The inverse of `tensors` and `terms`; raises FeatureError when they do not fit each other."""
        parts = {}
        for name in ("words", "characters"):
            weights, components = tensors[f"{name}.weights"], tensors[f"{name}.components"]
            if not len(terms[name]) == len(weights) == len(components):
                raise FeatureError(f"latent semantic {name}", f"{len(terms[name])} rows", f"{len(weights)}")
            parts[name] = Projection({term: row for row, term in enumerate(terms[name])}, weights, components)
        return cls(**parts)


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
