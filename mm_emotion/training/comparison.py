"""Several systems on the same test part: what choosing the epoch there is worth, and which differences are real."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mm_emotion import metrics
from mm_emotion.errors import CheckpointError
from mm_emotion.training.evaluation import LEGACY, Prediction, read_results
from mm_emotion.training.recipe import list_recipes, load_recipe
from mm_emotion.training.report import markdown_table
from mm_emotion.training.reproduction import open_corpus_of
from mm_emotion.training.saved import evaluate_folder, recipe_of

RESAMPLES = 2000


@dataclass(frozen=True)
class System:
    """One recipe over its seeds: weighted F1 of each, (S,), and of each draw of dialogues and seeds, (RESAMPLES,)."""

    name: str
    scores: np.ndarray
    draws: np.ndarray


def compare(names: Sequence[str], results: Path, runs: Path, data: Path | None = None) -> str:
    """Markdown about recipes, in the order given: their rows in `results`, and their systems of all seeds in `runs`.

    First what choosing the epoch on the test part is worth, from the results file; then, of those with saved systems,
    weighted F1 with intervals over dialogues and seeds, and the difference of every two.

    Raises:
        CheckpointError: there is nothing of a recipe, or the systems were not evaluated on the same rows; and what
            opening a corpus or a system raises.
    """
    rows = read_results(results)
    saved = {name: sorted((Path(runs) / name).glob("seed*/model")) for name in names}
    known = {row["recipe"] for row in rows} | {name for name, folders in saved.items() if folders}
    if missing := [name for name in names if name not in known]:
        raise CheckpointError("recipes", f"results of {', '.join(missing)} in {results}, or systems in {runs}", "none")
    lines = selection_table(rows, names)
    systems, same = [], None
    for name, folders in saved.items():
        if not folders:
            continue
        corpus = open_corpus_of(recipe_of(folders[0]), data)
        predictions = [evaluate_folder(folder, corpus).prediction for folder in folders]
        for prediction in predictions:
            same = same or prediction
            if not (
                np.array_equal(same.dialogue_ids, prediction.dialogue_ids)
                and np.array_equal(same.labels, prediction.labels)
            ):
                raise CheckpointError(f"systems of {name}", f"the {len(same.labels)} rows of the others", "other rows")
        systems.append(system(name, predictions))
    if not systems and len(lines) == 2:  # the head of a table
        expected = f"results with both choices of the epoch in {results}, or systems in {runs}"
        raise CheckpointError("recipes", expected, f"neither of {', '.join(names)}")
    if systems:
        lines += ["", *score_table(systems), "", *difference_table(systems)]
    return "\n".join(lines) + "\n"


def system(name: str, predictions: Sequence[Prediction]) -> System:
    """Scores of a recipe's seeds; each draw takes dialogues, the same for every system, and seeds with replacement."""
    scores, draws = [], []
    for prediction in predictions:
        valid = prediction.valid
        given = prediction.classes[valid], prediction.labels[valid]
        scores.append(metrics.weighted_f1(*given))
        drawn = metrics.bootstrap_scores(
            metrics.weighted_f1, *given, prediction.dialogue_ids[valid], resamples=RESAMPLES
        )
        draws.append(drawn)
    # Seeds of two systems have nothing in common: each system draws its own.
    random = np.random.default_rng([len(name), *name.encode()])
    seeds = random.integers(len(draws), size=(len(draws), RESAMPLES))
    return System(name, np.array(scores), np.take_along_axis(np.stack(draws), seeds, 0).mean(0))


def selection_table(rows: Iterable[Mapping[str, str]], names: Sequence[str]) -> list[str]:
    """Lines of a table: published and our weighted F1 in percent, by where the epoch was chosen, and the difference.

    The difference is that of the same run; only seeds with both count.
    """
    found: dict[str, dict[str, dict[int, float]]] = {name: {"validation": {}, LEGACY: {}} for name in names}
    for row in rows:
        chosen = found.get(row["recipe"], {}).get(row["selected_on"])
        if chosen is not None and row["fold"] == "test" and row["metric"] == "weighted_f1":
            chosen[int(row["seed"])] = 100 * float(row["value"])
    table, known = [], set(list_recipes())
    for name in names:
        strict, legacy = found[name]["validation"], found[name][LEGACY]
        both = sorted(strict.keys() & legacy.keys())
        if not both:
            continue
        gains = [legacy[seed] - strict[seed] for seed in both]
        published = load_recipe(name).published.get("weighted_f1", "") if name in known else ""
        spreads = [_spread([part[seed] for seed in both]) for part in (strict, legacy)]
        table.append([name, str(published), str(len(both)), *spreads, _spread(gains, "+"), f"{max(gains):+.1f}"])
    header = ["system", "published", "seeds", "chosen on validation", "chosen on test", "difference", "largest"]
    return markdown_table(header, table)


def score_table(systems: Sequence[System]) -> list[str]:
    """Lines of a table: weighted F1 in percent of each system, and its place among them in 95 % of the draws."""
    ranks = (-np.stack([each.draws for each in systems])).argsort(0).argsort(0) + 1  # (systems, RESAMPLES), 1 the best
    table = []
    for each, places in zip(systems, ranks, strict=True):
        low, high = metrics.percentile_interval(100 * each.draws)
        first, last = metrics.percentile_interval(places.astype(float))
        scores = _spread((100 * each.scores).tolist())
        table.append(
            [each.name, str(len(each.scores)), scores, f"{low:.1f} to {high:.1f}", f"{first:.0f} to {last:.0f}"]
        )
    return markdown_table(["system", "seeds", "weighted F1", "95 %", "place, 95 %"], table)


def difference_table(systems: Sequence[System]) -> list[str]:
    """Lines of a table: row minus column in points; bold where 95 % of the draws agree on the sign."""
    table = []
    for place, row in enumerate(systems[1:], start=1):
        cells = [row.name]
        for column in systems[:place]:
            low, high = metrics.percentile_interval(100 * (row.draws - column.draws))
            text = f"{100 * (row.scores.mean() - column.scores.mean()):+.1f}"
            cells.append(f"**{text}**" if low > 0 or high < 0 else text)
        table.append([*cells, *[""] * (len(systems) - 1 - place)])
    return markdown_table(["row minus column", *(each.name for each in systems[:-1])], table)


def _spread(values: Sequence[float], sign: str = "") -> str:
    mean = f"{statistics.fmean(values):{sign}.1f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.1f}"
