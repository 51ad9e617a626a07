"""Every figure that a saved run, or a file of results, has to give."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from datasets import Dataset

from mm_emotion import figures, metrics
from mm_emotion.atomic import replace_file
from mm_emotion.errors import CheckpointError, CorpusError
from mm_emotion.metrics import calibration
from mm_emotion.training.analysis import ablate, project
from mm_emotion.training.evaluation import LEGACY, read_results
from mm_emotion.training.loop import STATE_FILE
from mm_emotion.training.saved import Evaluation, evaluate_folder
from mm_emotion.training.weights import read_tensors


def model_folder(run: Path) -> Path:
    """The folder of the saved system of a run, which may be given itself; CheckpointError where there is none."""
    for folder in (Path(run), Path(run) / "model"):
        if (folder / "recipe.yaml").is_file():
            return folder
    raise CheckpointError(f"run {run}", "the folder of a run, or of its saved system", "neither")


def draw_run(run: Path, corpus: Dataset, part: str, out: Path) -> dict[str, object]:
    """Draw the figures of a run into `out`, with `figures.json`, the numbers in them; returns these numbers.

    Classes: confusion matrix, t-SNE of the hidden states (also as csv) with silhouette and 10-NN purity, calibration
    with a temperature fitted on validation. Affect: distributions of predicted and labelled values. Both: modality
    ablation, where the system reads several, and learning curves, where the run's training state is there.
    """
    folder, out = model_folder(run), Path(out)
    evaluation = evaluate_folder(folder, corpus, part)
    name = evaluation.recipe.name
    numbers: dict[str, object] = {"recipe": name, "part": part}
    if evaluation.recipe.is_regression:
        _draw_intensities(evaluation, out)
    else:
        numbers |= _draw_classes(evaluation, out)
        numbers |= _draw_calibration(evaluation, evaluate_folder(folder, corpus, "validation"), out)
    numbers |= _draw_ablation(evaluation, corpus, out)
    numbers |= _draw_curves(folder, name, out)
    with replace_file(out / "figures.json") as temporary:
        temporary.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    return numbers


def draw_results(results: Path, out: Path) -> int:
    """Draw the spread over seeds, and parameters against quality, of the strict runs of a results file, by corpus.

    Returns the number of systems. Raises CorpusError when no row is a strict test result of classes.
    """
    if not results.is_file():
        raise CorpusError(f"results {results}", "a file that reproduce or evaluate wrote", "no such file")
    values: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    sizes: dict[str, int] = {}
    for row in read_results(results):
        strict = row["fold"] == "test" and row["selected_on"] != LEGACY
        if strict and row["metric"] == "weighted_f1":
            values[row["corpus"], row["labels"]][row["recipe"]].append(100 * float(row["value"]))
            sizes[row["recipe"]] = int(row["parameters"])
    if not values:
        raise CorpusError(f"results {results}", "weighted F1 of a test part chosen on validation", "none")
    label = "weighted F1, strict, percent"
    for (corpus, labels), systems in values.items():
        ordered = dict(sorted(systems.items(), key=lambda item: -np.mean(item[1])))
        stem, title = f"{corpus}_{labels}", f"{corpus}, {labels}"
        figures.spread_figure(ordered, out / f"seed_spread_{stem}.png", title, label)
        points = {name: (sizes[name], float(np.mean(seeds))) for name, seeds in ordered.items()}
        figures.parameters_figure(points, out / f"parameters_{stem}.png", title, label)
    return sum(map(len, values.values()))


def _draw_classes(evaluation: Evaluation, out: Path) -> dict[str, object]:
    prediction, names = evaluation.prediction, evaluation.recipe.label_names
    valid = prediction.valid
    labels, classes = prediction.labels[valid], prediction.classes[valid]
    counts = metrics.confusion_matrix(classes, labels, num_classes=len(names))
    figures.confusion_figure(counts, names, out / "confusion_matrix.png", evaluation.recipe.name)
    projection = project(prediction.hidden_states[valid], labels)
    projection.write(out / "tsne.csv", list(names))
    title = f"{evaluation.recipe.name}: silhouette {projection.silhouette:.2f}, 10-NN purity {projection.purity:.2f}"
    figures.projection_figure(projection.coordinates, labels, names, out / "tsne.png", title)
    return {"silhouette": projection.silhouette, "neighbour_purity": projection.purity}


def _draw_calibration(evaluation: Evaluation, validation: Evaluation, out: Path) -> dict[str, object]:
    held = validation.prediction
    temperature = calibration.fit_temperature(held.logits[held.valid], held.labels[held.valid])
    prediction = evaluation.prediction
    logits, labels = prediction.logits[prediction.valid], prediction.labels[prediction.valid]
    scaled = logits / temperature
    before, after = (calibration.expected_calibration_error(values, labels) for values in (logits, scaled))
    title = f"ECE {100 * before:.1f} %; {100 * after:.1f} % at temperature {temperature:.2f} (from validation)"
    bins = calibration.reliability(logits, labels), calibration.reliability(scaled, labels)
    figures.calibration_figure(*bins, out / "calibration.png", title)
    return {"calibration_error": before, "calibration_error_scaled": after, "temperature": temperature}


def _draw_intensities(evaluation: Evaluation, out: Path) -> None:
    prediction, names = evaluation.prediction, evaluation.recipe.label_names
    valid = prediction.valid
    predicted, labelled = (
        {name: values[valid, index] for index, name in enumerate(names)}
        for values in (prediction.logits, prediction.labels)
    )
    figures.intensities_figure(predicted, labelled, out / "intensities.png", evaluation.recipe.name)


def _draw_ablation(evaluation: Evaluation, corpus: Dataset, out: Path) -> dict[str, object]:
    if len(evaluation.modalities) < 2:
        return {}
    metric, scale = ("concordance_correlation", 1) if evaluation.recipe.is_regression else ("weighted_f1", 100)
    found = ablate(evaluation, corpus, metric)
    label = f"{metric.replace('_', ' ')} with these modalities alone, nothing trained anew"
    shown = {name: scale * value for name, value in found.items()}
    figures.bars_figure(shown, out / "modality_ablation.png", evaluation.recipe.name, label)
    return {"modality_ablation": found}


def _draw_curves(folder: Path, name: str, out: Path) -> dict[str, object]:
    state = folder.parent / STATE_FILE
    if not state.is_file():
        return {}
    progress = json.loads(read_tensors(state)[1]["progress"])
    if not progress["history"]:
        return {}
    chosen = progress["best"].get("validation", next(iter(progress["best"].values())))["epoch"]
    figures.curves_figure(progress["history"], chosen, out / "learning_curves.png", name)
    return {"chosen_epoch": chosen, "epochs": len(progress["history"])}
