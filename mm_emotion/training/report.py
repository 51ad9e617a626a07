"""What a reader sees of results: the report of one saved system, and the table of published figures beside ours."""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets import Dataset

from mm_emotion import metrics
from mm_emotion.atomic import replace_file, replace_folder
from mm_emotion.data.corpus import DialogueDataset
from mm_emotion.data.splits import resolve_split, take, validate_split
from mm_emotion.errors import CheckpointError
from mm_emotion.figures import confusion_figure
from mm_emotion.pipeline import load_system
from mm_emotion.schema import IGNORE_INDEX
from mm_emotion.training.encoding import add_vectors
from mm_emotion.training.evaluation import (
    Prediction,
    RunFacts,
    intervals,
    part_results,
    predict,
    read_results,
    scores,
    write_results,
)
from mm_emotion.training.recipe import Recipe, list_recipes, load_recipe
from mm_emotion.training.reproduction import add_features, collator_of


@dataclass(frozen=True)
class Evaluation:
    """A saved system's predictions on one part of a corpus, with what is needed to describe them."""

    folder: Path
    recipe: Recipe
    prediction: Prediction
    part: str
    facts: RunFacts
    scenarios: list[str] | None
    notes: list[str]


def recipe_of(folder: Path) -> Recipe:
    """The recipe saved with a system; raises CheckpointError when there is none."""
    path = Path(folder) / "recipe.yaml"
    if not path.is_file():
        raise CheckpointError(f"model folder {folder}", "a saved system with recipe.yaml", "no such file")
    return load_recipe(str(path))


def encode_folder(folder: Path, corpus: Dataset, column: str, out: Path) -> None:
    """Write `corpus` with the hidden states of a saved system as the feature `column`, as a prepared dataset."""
    model, processor = load_system(folder)
    rows = add_features(corpus, processor)
    dataset = DialogueDataset(rows, unit=recipe_of(folder).training.unit, columns=list(model.input_shapes()))
    vectors = predict(model, dataset, collator_of(model)).hidden_states
    encoded = add_vectors(corpus, column, vectors)
    with replace_folder(out) as temporary:
        encoded.to_parquet(temporary / f"corpus-{encoded._fingerprint[:12]}.parquet")


def evaluate_folder(folder: Path, corpus: Dataset, part: str = "test") -> Evaluation:
    """Load a saved system and run it on one part of its recipe's split.

    Raises CheckpointError when the folder holds no recipe, and the typed errors of corpus and split.
    """
    recipe = recipe_of(folder)
    model, processor = load_system(folder)
    split = resolve_split(corpus, recipe.corpus.split)
    notes = validate_split(corpus, split)
    rows = add_features(take(corpus, split, part), processor)
    # A saved system reads whole dialogues; one trained on single utterances is given single utterances.
    dataset = DialogueDataset(rows, unit=recipe.training.unit, columns=list(model.input_shapes()))
    prediction = predict(model, dataset, collator_of(model))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    saved = read_results(Path(folder) / "results.csv")
    seed = int(saved[0]["seed"]) if saved else recipe.protocol.seeds[0]
    facts = RunFacts(split, seed, recipe.protocol.select_on, model.config.is_causal, parameters)
    scenarios = list(rows["scenario"]) if "scenario" in rows.column_names else None
    return Evaluation(Path(folder), recipe, prediction, part, facts, scenarios, notes)


def write_report(evaluation: Evaluation, out: Path, against: Evaluation | None = None) -> str:
    """Write `report.md`, `results.csv` and, for classes, `confusion_matrix.png` under `out`; returns the report's text.

    `against` is another system on the same rows: the report then says by how much they differ, with a paired bootstrap
    interval over dialogues.
    """
    out = Path(out)
    recipe, prediction = evaluation.recipe, evaluation.prediction
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
    for one in (evaluation, against):
        if one is not None:
            found = part_results(one.recipe, one.facts, one.prediction, one.part, one.scenarios)
            write_results(out / "results.csv", found)
    text = "\n".join(lines) + "\n"
    with replace_file(out / "report.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    return text


def _facts(evaluation: Evaluation) -> list[str]:
    recipe = evaluation.recipe
    selected = "validation part" if recipe.protocol.select_on == "validation" else "TEST part: legacy (leaks)"
    dialogues = len(set(evaluation.prediction.dialogue_ids))
    facts = [
        f"corpus {recipe.corpus.name}, labels {recipe.corpus.labels}, split {recipe.corpus.split}, "
        f"{len(evaluation.prediction.labels)} utterances of {dialogues} dialogues",
        f"epoch chosen on the {selected}",
        f"{evaluation.facts.parameters:,} parameters, "
        + ("causal" if evaluation.facts.causal else "not causal: reads later utterances"),
        *evaluation.notes,
    ]
    return [f"- {fact}" for fact in facts]


def _score_table(evaluation: Evaluation, against: Evaluation | None) -> list[str]:
    recipe = evaluation.recipe
    ours = scores(evaluation.prediction, recipe.is_regression)
    spread = {} if recipe.is_regression else intervals(evaluation.prediction)
    other = scores(against.prediction, recipe.is_regression) if against else {}
    header = ["metric", recipe.name, "95 % over dialogues", *([against.recipe.name] if against else []), "published"]
    rows = []
    for name, value in ours.items():
        interval = "{:.3f} to {:.3f}".format(*spread[name]) if name in spread else ""
        rows.append([name, f"{value:.3f}", interval, *([f"{other[name]:.3f}"] if against else [])])
        rows[-1].append(str(recipe.published.get(name, "")))
    return [*markdown_table(header, rows), ""]


def _difference(evaluation: Evaluation, against: Evaluation) -> list[str]:
    labels, classes = _valid(evaluation.prediction)
    _, others = _valid(against.prediction)
    valid = evaluation.prediction.labels != IGNORE_INDEX
    groups = evaluation.prediction.dialogue_ids[valid]
    difference, (low, high) = metrics.paired_bootstrap(metrics.weighted_f1, classes, others, labels, groups)
    return [
        f"Weighted F1 of {evaluation.recipe.name} minus {against.recipe.name}: **{difference:+.3f}** "
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
    valid = prediction.labels != IGNORE_INDEX
    return prediction.labels[valid], prediction.classes[valid]


def render_results(rows: Sequence[Mapping[str, str]], recipes: Mapping[str, Recipe]) -> str:
    """Markdown of a results file: for each recipe the published figure beside ours, mean and deviation over seeds.

    `rows` are those of `evaluation.read_results`. A cell without a run stays empty.
    """
    grouped: dict[tuple[str, str], dict[tuple[str, str], list[float]]] = defaultdict(lambda: defaultdict(list))
    facts: dict[tuple[str, str], Mapping[str, str]] = {}
    for row in rows:
        key = (row["recipe"], row["selected_on"])
        grouped[key][row["fold"], row["metric"]].append(float(row["value"]))
        facts[key] = row
    header = [
        "recipe", "selected on", "seeds", "causal", "parameters", "published", "weighted F1", "accuracy", "UA",
        "95 % over dialogues", "improvised F1", "scripted F1",
    ]  # fmt: skip
    table = []
    for key in sorted(grouped):
        values, fact = grouped[key], facts[key]
        published = recipes[key[0]].published.get("weighted_f1", "") if key[0] in recipes else ""
        interval = [values.get(("test", f"weighted_f1_{end}")) for end in ("low", "high")]
        table.append(
            [
                key[0],
                key[1],
                str(len(values.get(("test", "weighted_f1"), ()))),
                fact["causal"],
                f"{int(fact['parameters']):,}",
                str(published),
                *(_spread(values.get(("test", name))) for name in ("weighted_f1", "accuracy", "unweighted_accuracy")),
                " to ".join(f"{100 * statistics.fmean(end):.1f}" for end in interval if end),
                *(_spread(values.get((f"test/{kind}", "weighted_f1"))) for kind in ("improvised", "scripted")),
            ]
        )
    return "\n".join(markdown_table(header, table)) + "\n"


def write_leaderboard(results: Path) -> str:
    """Render a results file into `RESULTS.md` beside it; returns the text."""
    known = set(list_recipes())
    rows = read_results(results)
    recipes = {name: load_recipe(name) for name in {row["recipe"] for row in rows} & known}
    text = (
        "# Results\n\n"
        "Rendered from `results.csv`; every row comes from a run. Percentages, mean ± standard deviation over seeds;\n"
        "the interval is a bootstrap over test dialogues, averaged over seeds. Rows marked *legacy (leaks)* chose the\n"
        "epoch on the test set, as much published code does: they are what published figures compare with.\n\n"
        + render_results(rows, recipes)
    )
    with replace_file(Path(results).with_name("RESULTS.md")) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return text


def _spread(values: Sequence[float] | None) -> str:
    if not values:
        return ""
    if len(values) == 1:
        return f"{100 * values[0]:.1f}"
    return f"{100 * statistics.fmean(values):.1f} ± {100 * statistics.stdev(values):.1f}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    return ["| " + " | ".join(cells) + " |" for cells in [header, ["---"] * len(header), *rows]]
