"""What lies behind a saved system's figures: its representation in two dimensions, its modalities one by one."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from datasets import Dataset

from mm_emotion.atomic import replace_file
from mm_emotion.errors import CorpusError, MissingExtraError
from mm_emotion.training.evaluation import scores
from mm_emotion.training.saved import Evaluation, evaluate_folder

NEIGHBOURS = 10


@dataclass(frozen=True)
class Projection:
    """Points (N, 2) of labelled utterances, and how far classes are apart before they are flattened.

    `silhouette` in [-1, 1] and `purity`, the share of the 10 nearest neighbours that are of an utterance's own class,
    are those of the representation itself.
    """

    coordinates: np.ndarray
    labels: np.ndarray
    silhouette: float
    purity: float

    def write(self, path: Path, names: list[str]) -> None:
        """Write x, y and class name of every point as csv."""
        with replace_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("x", "y", "label"))
            for (x, y), label in zip(self.coordinates, self.labels, strict=True):
                writer.writerow((f"{x:.4f}", f"{y:.4f}", names[label]))


def project(hidden_states: np.ndarray, labels: np.ndarray) -> Projection:
    """t-SNE (perplexity 30, from principal components, seed 0) of hidden states (N, H) with labels (N,).

    Errors: CorpusError for fewer than 12 utterances or a single class; MissingExtraError without scikit-learn.
    """
    try:
        from sklearn.manifold import TSNE
        from sklearn.metrics import silhouette_score
        from sklearn.neighbors import NearestNeighbors
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "baselines") from error
    classes = len(np.unique(labels))
    if len(labels) < NEIGHBOURS + 2 or classes < 2:
        expected = f"at least {NEIGHBOURS + 2} labelled utterances of two classes"
        raise CorpusError("part", expected, f"{len(labels)} of {classes}")
    neighbours = (
        NearestNeighbors(n_neighbors=NEIGHBOURS).fit(hidden_states).kneighbors(return_distance=False)
    )  # (N, 10)
    perplexity = min(30.0, (len(labels) - 1) / 3)
    coordinates = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(hidden_states)  # (N, 2)
    return Projection(
        coordinates,
        labels,
        float(silhouette_score(hidden_states, labels)),
        float((labels[neighbours] == labels[:, None]).mean()),
    )


def modality_subsets(names: Sequence[str]) -> list[tuple[str, ...]]:
    """All subsets of modalities, the whole first; of four or more the whole, those without one, and each alone."""
    sizes = range(len(names), 0, -1) if len(names) < 4 else (len(names), len(names) - 1, 1)
    return [subset for size in sizes for subset in combinations(names, size)]


def ablate(evaluation: Evaluation, corpus: Dataset, metric: str) -> dict[str, float]:
    """`metric` of a saved system with only some of its modalities, by their names; nothing is trained anew.

    The others are missing, as they may be for a user.
    """
    found = {}
    for subset in modality_subsets(evaluation.modalities):
        some = evaluate_folder(evaluation.folder, corpus, evaluation.part, subset)
        found[" + ".join(subset)] = scores(some.prediction, evaluation.recipe.is_regression)[metric]
    return found
