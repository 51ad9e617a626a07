"""What a reader sees of results: the report of one saved system, and the table of published figures beside ours."""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mm_emotion import metrics
from mm_emotion.atomic import replace_file
from mm_emotion.errors import CheckpointError
from mm_emotion.figures import confusion_figure
from mm_emotion.training.evaluation import (
    LEGACY,
    Prediction,
    intervals,
    part_results,
    read_results,
    scores,
    write_results,
)
from mm_emotion.training.recipe import Recipe, list_recipes, load_recipe
from mm_emotion.training.saved import Evaluation


def write_report(evaluation: Evaluation, out: Path, against: Evaluation | None = None) -> str:
    """Write `report.md`, `results.csv` and, for classes, `confusion_matrix.png` under `out`; returns the report's text.

    `against` is another system on the same rows: the report then says by how much they differ, with a paired bootstrap
    interval over dialogues.
    """
    out = Path(out)
    recipe, prediction = evaluation.recipe, evaluation.prediction
    if against is not None:
        _check_same_rows(evaluation, against)
    lines = [f"# {recipe.name}", "", *_facts(evaluation), ""]
    lines += _score_table(evaluation, against)
    if not recipe.is_regression:
        if against is not None:
            lines += _difference(evaluation, against)
        lines += _class_table(prediction, recipe.label_names)
        labels, classes = _valid(prediction)
        counts = metrics.confusion_matrix(classes, labels, num_classes=len(recipe.label_names))
        confusion_figure(counts, recipe.label_names, out / "confusion_matrix.png", recipe.name)
        lines += ["", "![Confusion matrix](confusion_matrix.png)"]
    part, scenarios = evaluation.part, evaluation.scenarios
    found = part_results(recipe, evaluation.facts, prediction, part, scenarios, evaluation.beside)
    write_results(out / "results.csv", found)
    text = "\n".join(lines) + "\n"
    with replace_file(out / "report.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    return text


def _check_same_rows(evaluation: Evaluation, against: Evaluation) -> None:
    ours, theirs = evaluation.prediction, against.prediction
    same = np.array_equal(ours.dialogue_ids, theirs.dialogue_ids) and np.array_equal(ours.labels, theirs.labels)
    if not same:
        given = f"{len(theirs.labels)} rows of split {against.recipe.corpus.split}"
        raise CheckpointError(f"system {against.folder}", f"the {len(ours.labels)} rows of {evaluation.folder}", given)


def _names(evaluation: Evaluation, against: Evaluation | None) -> list[str]:
    """Headings of the systems: their recipes, or their folders where the recipe is the same."""
    if against is None:
        return [evaluation.recipe.name]
    if evaluation.recipe.name != against.recipe.name:
        return [evaluation.recipe.name, against.recipe.name]
    return [str(evaluation.folder), str(against.folder)]


def _facts(evaluation: Evaluation) -> list[str]:
    recipe = evaluation.recipe
    dialogues = len(set(evaluation.prediction.dialogue_ids))
    facts = [
        f"corpus {recipe.corpus.name}, labels {recipe.corpus.labels}, split {recipe.corpus.split}, "
        f"{evaluation.prediction.labelled} labelled utterances of {dialogues} dialogues",
        f"epoch chosen on {evaluation.facts.selected_on}",
        f"{evaluation.facts.parameters:,} parameters, "
        + ("causal" if evaluation.facts.causal else "not causal: reads later utterances"),
        *evaluation.notes,
        *([recipe.note] if recipe.note else []),
    ]
    return [f"- {fact}" for fact in facts]


def _score_table(evaluation: Evaluation, against: Evaluation | None) -> list[str]:
    recipe = evaluation.recipe
    ours = {**scores(evaluation.prediction, recipe.is_regression, recipe.label_names), **evaluation.beside}
    spread = {} if recipe.is_regression else intervals(evaluation.prediction)
    other = scores(against.prediction, recipe.is_regression, recipe.label_names) if against else {}
    other |= against.beside if against else {}
    names = _names(evaluation, against)
    header = ["metric", names[0], "95 % over dialogues", *names[1:], "published"]
    rows = []
    for name, value in ours.items():
        interval = "{:.3f} to {:.3f}".format(*spread[name]) if name in spread else ""
        rows.append([name, f"{value:.3f}", interval, *([_three(other.get(name))] if against else [])])
        rows[-1].append(_three(recipe.published_value(name)))
    return [*markdown_table(header, rows), ""]


def _three(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _difference(evaluation: Evaluation, against: Evaluation) -> list[str]:
    labels, classes = _valid(evaluation.prediction)
    _, others = _valid(against.prediction)
    groups = evaluation.prediction.dialogue_ids[evaluation.prediction.valid]
    difference, (low, high) = metrics.paired_bootstrap(metrics.weighted_f1, classes, others, labels, groups)
    ours, theirs = _names(evaluation, against)
    return [
        f"Weighted F1 of {ours} minus {theirs}: **{difference:+.3f}** "
        f"(95 % paired bootstrap over dialogues: {low:+.3f} to {high:+.3f}).",
        "",
    ]


def _class_table(prediction: Prediction, names: Sequence[str]) -> list[str]:
    labels, classes = _valid(prediction)
    recall = metrics.class_recall(classes, labels, num_classes=len(names))
    f1 = metrics.class_f1(classes, labels, num_classes=len(names))
    rows = [
        [name, str(int((labels == index).sum())), f"{recall[index]:.3f}", f"{f1[index]:.3f}"]
        for index, name in enumerate(names)
    ]
    return markdown_table(["class", "utterances", "recall", "F1"], rows)


def _valid(prediction: Prediction) -> tuple[np.ndarray, np.ndarray]:
    return prediction.labels[prediction.valid], prediction.classes[prediction.valid]


CLASS_COLUMNS = {
    "weighted F1": "weighted_f1",
    "accuracy": "accuracy",
    "UA": "unweighted_accuracy",
    "improvised F1": "test/improvised weighted_f1",
    "scripted F1": "test/scripted weighted_f1",
}
AFFECT_COLUMNS = {
    "MAE": "mean_absolute_error",
    "r": "pearson",
    "CCC": "concordance_correlation",
    "Acc-2": "two_class_accuracy",
    "Acc-7": "seven_class_accuracy",
}
_RUN = ("recipe", "corpus", "labels", "split", "selected_on")


@dataclass(frozen=True)
class ResultTable:
    """Cells of the runs of one protocol, strict or legacy, and one kind of label."""

    is_legacy: bool
    chief: str
    header: list[str]
    rows: list[list[str]]


SECTIONS = {
    False: ("Strict", "Epochs chosen without the test part. A split whose features saw test labels says so."),
    True: (
        "Legacy (leaks)",
        "Epochs chosen on the test set, or parts of a split that share dialogues, as in much published code: "
        "for comparison with published figures alone.",
    ),
}
"""Heading and explanation of the results that are legacy (True) and of those that are not."""


def result_tables(rows: Sequence[Mapping[str, str]], recipes: Mapping[str, Recipe]) -> list[ResultTable]:
    """Each recipe's published figure beside ours, mean and deviation over seeds; strict tables before legacy ones.

    `rows` are those of `evaluation.read_results`. A cell without a run stays empty.
    """
    grouped: dict[tuple[str, ...], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    facts: dict[tuple[str, ...], Mapping[str, str]] = {}
    for row in rows:
        run = tuple(row[name] for name in _RUN)
        cell = row["metric"] if row["fold"] == "test" else f"{row['fold']} {row['metric']}"
        grouped[run][cell].append(float(row["value"]))
        facts[run] = row
    tables = []
    for is_legacy in SECTIONS:
        for chief, columns, scale in (("weighted_f1", CLASS_COLUMNS, 100), ("mean_absolute_error", AFFECT_COLUMNS, 1)):
            cells = [
                _result_row(run, grouped[run], facts[run], recipes.get(run[0]), chief, columns, scale)
                for run in sorted(grouped)
                if chief in grouped[run] and (facts[run]["selected_on"] == LEGACY) == is_legacy
            ]
            header = ["recipe", "labels", "split", "selected on", "seeds", "causal", "parameters", f"published {chief}"]
            if cells:
                tables.append(ResultTable(is_legacy, chief, [*header, *columns, "95 % over dialogues"], cells))
    return tables


def render_results(tables: Sequence[ResultTable]) -> str:
    """Markdown of the tables, strict and legacy under headings of their own."""
    lines: list[str] = []
    for is_legacy, (title, explanation) in SECTIONS.items():
        section = [table for table in tables if table.is_legacy == is_legacy]
        if section:
            lines += [f"## {title}", "", explanation, ""]
        for table in section:
            lines += [*markdown_table(table.header, table.rows), ""]
    return "\n".join(lines)


def _result_row(
    run: tuple[str, ...],
    values: Mapping[str, list[float]],
    facts: Mapping[str, str],
    recipe: Recipe | None,
    chief: str,
    columns: Mapping[str, str],
    scale: int,
) -> list[str]:
    name, corpus, labels, split, selected_on = run
    published = "" if recipe is None else str(recipe.published.get(chief, ""))
    interval = [values.get(f"{chief}_{end}") for end in ("low", "high")]
    return [
        name,
        f"{corpus} {labels}",
        split,
        selected_on,
        str(len(values[chief])),
        facts["causal"],
        f"{int(facts['parameters']):,}",
        published,
        *(spread(values.get(cell), scale) for cell in columns.values()),
        " to ".join(f"{scale * statistics.fmean(end):.1f}" for end in interval if end),
    ]


def read_tables(results: Path) -> list[ResultTable]:
    """The tables of a results file, with the published figures of the recipes that the package has."""
    rows = read_results(results)
    names = {row["recipe"] for row in rows} & set(list_recipes())
    return result_tables(rows, {name: load_recipe(name) for name in names})


def write_leaderboard(results: Path) -> str:
    """Render a results file into `RESULTS.md` beside it; returns the text."""
    text = (
        "# Results\n\n"
        "Rendered from `results.csv`; every row comes from a run. Classes in percent, mean ± standard deviation over\n"
        "seeds; the interval is a bootstrap over test dialogues, averaged over seeds.\n"
        "Parameters are those of the recipe's own model, without the encoders that have recipes of their own.\n\n"
        + render_results(read_tables(results))
    )
    with replace_file(Path(results).with_name("RESULTS.md")) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return text


def spread(values: Sequence[float] | None, scale: int) -> str:
    """Mean ± standard deviation of `values`, the mean alone of one, nothing of none; percent at a scale of 100."""
    if not values:
        return ""
    digits = 1 if scale == 100 else 3
    mean = f"{scale * statistics.fmean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {scale * statistics.stdev(values):.{digits}f}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    return ["| " + " | ".join(cells) + " |" for cells in [header, ["---"] * len(header), *rows]]
