"""From a recipe and a corpus to a saved system and its results: one seed at a time.

Strict protocol: the loop is handed the train and validation parts alone; the test part is opened after the epoch is
chosen. A recipe that selects on test, or records that choice too, hands it over by name, and every row that comes of it
says so in `selected_on`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from accelerate import Accelerator
from datasets import Dataset

from mm_emotion.atomic import replace_folder
from mm_emotion.data.corpus import open_corpus
from mm_emotion.data.rows import check_rows, column_values
from mm_emotion.data.splits import Split, validate_split
from mm_emotion.errors import CorpusError, RecipeError
from mm_emotion.features.processor import EmotionProcessor
from mm_emotion.models.modeling_emotion import EmotionPreTrainedModel
from mm_emotion.schema import MODALITIES, SPLITS
from mm_emotion.training.confusion import write_confusion
from mm_emotion.training.continuous import Outputs, judge, train_with_delay
from mm_emotion.training.encoding import add_vectors
from mm_emotion.training.evaluation import (
    Prediction,
    RunFacts,
    part_results,
    predict,
    versions,
    write_results,
)
from mm_emotion.training.features import add_features, add_raw_features, skipped_notes
from mm_emotion.training.fine_tuning import check_readable
from mm_emotion.training.pretrained import features_of
from mm_emotion.training.recipe import Recipe, save_recipe
from mm_emotion.training.stages import (
    Job,
    all_stages,
    build_model,
    children_of,
    collator_of,
    compose,
    dataset_of,
    fit,
    fit_stage_one,
    fuse,
)
from mm_emotion.training.weights import load_best


@dataclass(frozen=True)
class Outcome:
    """What one seed leaves: result rows, the chosen epoch's predictions per part, the folder of the saved system."""

    rows: list[dict[str, object]]
    predictions: dict[str, Prediction]
    model_folder: Path
    notes: list[str]


def run_seed(
    recipe: Recipe,
    corpus: Dataset,
    split: Split,
    *,
    seed: int,
    out: Path,
    accelerator: Accelerator | None = None,
    progress_bar: bool = True,
    state_seconds: float = 30.0,
    start: tuple[EmotionPreTrainedModel, EmotionProcessor] | None = None,
) -> Outcome:
    """Run every stage of `recipe` for one seed, evaluate the chosen epoch, and save the system under `out`.

    `start` is a saved system of the same network to go on from: its processor as it is, its weights.
    A run that was interrupted goes on where it stood. Raises the typed errors of the rooms it passes through.
    """
    check_rows(corpus)
    notes = validate_split(corpus, split)
    job = Job(split, seed, Path(out), accelerator or make_accelerator(recipe), progress_bar, state_seconds)
    if start is None:
        processor, rows = _featurize(recipe, corpus, job)
    else:
        job, processor = replace(job, start=start[0]), start[1]
        with job.accelerator.main_process_first():
            rows = add_features(corpus, processor)
        check_readable(*start, rows)
    job, notes = replace(job, processor=processor), [*notes, *_feature_notes(processor), *_pretrained_notes(recipe)]
    outputs, curve = None, {}
    if recipe.frames is None:
        model, system, rows = _train_system(recipe, rows, job)
    else:
        model, system, outputs, curve = train_with_delay(recipe, rows, job, _train_system)
        notes.append(f"annotation delay: {outputs.delay:g} s" + (" by CCC on validation" if curve else ""))
    results, predictions = _evaluate(recipe, model, rows, job, outputs, curve)
    notes += skipped_notes(rows, processor)
    folder = job.folder(recipe)
    if job.accelerator.is_main_process:
        resolved = {"seed": seed, "split": _describe(split), "notes": notes, "versions": versions()}
        _save(system, processor, recipe, resolved, results, predictions["test"], outputs, folder / "model")
        write_results(folder / "results.csv", results)
    job.accelerator.wait_for_everyone()
    return Outcome(results, predictions, folder / "model", notes)


def _train_system(recipe: Recipe, rows: Dataset, job: Job) -> tuple[torch.nn.Module, torch.nn.Module, Dataset]:
    """Train every stage; the recipe's own model, the whole system that is saved, and the rows that the model reads."""
    if recipe.children:
        model = fuse(recipe, [_train_system(child, rows, job)[1] for child in children_of(recipe)], rows, job)
        return model, model, rows
    encoders: dict[str, torch.nn.Module] = {}
    own_widths: dict[str, int] = {}
    given = rows
    for modality, encoder in recipe.encoders.items():
        # Each reads what was there before the others' vectors took its place.
        encoders[modality], vectors, present = fit_stage_one(encoder, recipe, given, job)
        if modality in recipe.features:
            own = _table(column_values(given, modality))  # (N, D)
            own_widths[modality] = own.shape[1]
            vectors = np.concatenate([own, vectors], axis=1)
        rows = add_vectors(rows, modality, vectors, present)
    model = fit(recipe, rows, job, job.folder(recipe), recipe.name)
    return model, compose(recipe, model, encoders, own_widths), rows


def open_corpus_of(recipe: Recipe, path: Path | None = None) -> Dataset:
    """The corpus of a recipe, its scenario alone, with the feature columns that some stage reads and none makes.

    Raises CorpusError where the class names of the data are not those of the recipe; they may stand in another order.
    """
    recipe = resolve_labels(recipe, path)
    stages = all_stages(recipe)
    made = {name for stage in stages for name in stage.features}
    with torch.device("meta"):
        read = {name for stage in stages for name in build_model(stage).config.modalities if name not in stage.encoders}
    features = [name for name in MODALITIES if name in read - made]
    rows = open_corpus(recipe.corpus.name, recipe.corpus.labels, path, features)
    if recipe.corpus.names and rows.features["label"].names != recipe.corpus.names:
        given = rows.features["label"].names
        if sorted(given) != sorted(recipe.corpus.names):
            expected = f"{', '.join(recipe.corpus.names)}, as the recipe has"
            raise CorpusError(f"label names of {recipe.corpus.name}", expected, ", ".join(given))
        rows = rows.align_labels_with_mapping({name: index for index, name in enumerate(recipe.corpus.names)}, "label")
    if recipe.corpus.scenario == "all":
        return rows
    if "scenario" not in rows.column_names:
        raise CorpusError("column 'scenario'", f"to be in the corpus for {recipe.corpus.scenario} dialogues", "none")
    return rows.select(np.flatnonzero(np.array(rows["scenario"]) == recipe.corpus.scenario))


def resolve_labels(recipe: Recipe, path: Path | None = None) -> Recipe:
    """The recipe with the class names of its corpus, where the data alone know them and the recipe does not yet.

    Raises RecipeError where the recipe promises another number of them.
    """
    if recipe.label_names:
        return recipe
    names = open_corpus(recipe.corpus.name, recipe.corpus.labels, path).features["label"].names
    given = recipe.model.get("num_labels", len(names))
    if given != len(names):
        raise RecipeError("model.num_labels", f"{len(names)} (labels {', '.join(names)})", given)
    return replace(recipe, corpus=replace(recipe.corpus, names=names))


def make_accelerator(recipe: Recipe, tracker: str | None = None, logging_folder: Path | None = None) -> Accelerator:
    """The Accelerator a recipe asks for; on a machine without an accelerator it runs on the CPU."""
    accelerator = Accelerator(
        mixed_precision=recipe.training.mixed_precision,
        cpu=not torch.cuda.is_available(),
        log_with=tracker,
        project_dir=logging_folder,
    )
    if tracker is not None:
        accelerator.init_trackers("mm_emotion")
    return accelerator


def _featurize(recipe: Recipe, corpus: Dataset, job: Job) -> tuple[EmotionProcessor, Dataset]:
    """Fit the features of all stages on the train part and add their columns to the corpus."""
    wanted: dict[str, dict] = {}
    for name, options in [pair for stage in all_stages(recipe) for pair in features_of(stage).items()]:
        if wanted.setdefault(name, options) != options:
            raise RecipeError(f"features.{name}", f"the options of its stage-one recipe, {wanted[name]}", options)
    with job.accelerator.main_process_first():
        corpus = add_raw_features(corpus, wanted)
    processor = EmotionProcessor.fit(job.part(corpus, "train"), features=wanted)
    with job.accelerator.main_process_first():
        return processor, add_features(corpus, processor)


def _feature_notes(processor: EmotionProcessor) -> list[str]:
    """What a reader of the results must know of the features: licences, and how much the word vectors cover."""
    notes = [f"{column}: {licence}" for column, licence in processor.feature_extractor.licences.items()]
    if processor.embedding_table is not None:
        notes.append(f"word vectors: {processor.embedding_table.coverage}")
    if processor.word_sequences is not None:
        notes.append(f"word vectors of text: {processor.word_sequences.coverage}")
    return notes


def _pretrained_notes(recipe: Recipe) -> list[str]:
    """Which weights come from elsewhere."""
    places = dict.fromkeys(pair for stage in all_stages(recipe) for pair in stage.pretrained.items())
    return [f"pretrained {modality} encoder: {place}" for modality, place in places]


def _table(vectors: list[np.ndarray | None]) -> np.ndarray:
    """One row (D,) an utterance, zeros where the modality is missing."""
    width = next(len(vector) for vector in vectors if vector is not None)
    return np.stack([np.zeros(width, np.float32) if vector is None else vector for vector in vectors])


def _evaluate(
    recipe: Recipe,
    model: torch.nn.Module,
    rows: Dataset,
    job: Job,
    outputs: Outputs | None,
    curve: Mapping[float, float],
) -> tuple[list[dict[str, object]], dict[str, Prediction]]:
    chosen = recipe.protocol.select_on
    leaks = any(stage.protocol.select_on == "test" for stage in all_stages(recipe))
    results: list[dict[str, object]] = []
    predictions: dict[str, Prediction] = {}
    for part in SPLITS[1:]:
        selected_on = "test" if leaks else chosen
        beside = curve if part == chosen else {}
        predictions[part], found = _evaluate_part(recipe, model, rows, job, part, selected_on, outputs, beside)
        results += found
    if recipe.protocol.record_test_selection and chosen != "test":
        load_best(model, job.folder(recipe), "test")
        results += _evaluate_part(recipe, model, rows, job, "test", "test")[1]
        load_best(model, job.folder(recipe), chosen)
    return results, predictions


def _evaluate_part(
    recipe: Recipe,
    model: torch.nn.Module,
    rows: Dataset,
    job: Job,
    part: str,
    selected_on: str,
    outputs: Outputs | None = None,
    curve: Mapping[float, float] = MappingProxyType({}),
) -> tuple[Prediction, list[dict[str, object]]]:
    part_rows, collator = job.part(rows, part), collator_of(model)
    dataset = dataset_of(model, recipe, part_rows, job.processor)
    prediction = predict(model, dataset, collator, accelerator=job.accelerator)
    facts = RunFacts(job.split, job.seed, selected_on, model.config.is_causal, model.num_parameters())
    scenarios = part_rows["scenario"] if "scenario" in part_rows.column_names else None
    extra = {f"concordance_correlation/delay_{delay:g}s": value for delay, value in curve.items()}
    if outputs is not None:
        prediction, beside = judge(model, recipe, dataset, collator, prediction, outputs)
        extra |= beside
    return prediction, part_results(recipe, facts, prediction, part, scenarios, extra)


def _save(
    model,
    processor: EmotionProcessor,
    recipe: Recipe,
    resolved: dict,
    results: list[dict],
    test: Prediction,
    outputs: Outputs | None,
    folder: Path,
) -> None:
    with replace_folder(folder) as temporary:
        model.save_pretrained(temporary)
        processor.save_pretrained(temporary)
        save_recipe(recipe, temporary / "recipe.yaml", resolved)
        write_results(temporary / "results.csv", results)
        if outputs is not None:
            outputs.save(temporary)
        if not recipe.is_regression:
            write_confusion(temporary, "test", test, recipe.label_names)


def _describe(split: Split) -> dict[str, object]:
    """A split by its sizes: the ids belong to the corpus and are not written down."""
    kept = asdict(replace(split, train=(), validation=(), test=()))
    return {**kept, **{part: f"{len(getattr(split, part))} {split.unit}s" for part in SPLITS}}
