"""From a recipe and a corpus to a saved system and its results: one seed at a time.

Strict protocol: the loop is handed the train and validation parts alone; the test part is opened after the epoch is
chosen. A recipe that selects on test, or records that choice too, hands it over by name, and every row that comes of it
says so in `selected_on`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from datasets import Dataset, Features, List, Value
from transformers import AutoConfig, AutoModel

from mm_emotion.atomic import replace_folder
from mm_emotion.data.collator import EmotionCollator
from mm_emotion.data.corpus import DialogueDataset, open_corpus
from mm_emotion.data.rows import column_values
from mm_emotion.data.splits import Split, take, validate_split
from mm_emotion.errors import FeatureError, RecipeError
from mm_emotion.features.processor import EmotionProcessor
from mm_emotion.models.hierarchical.modeling_hierarchical import HierarchicalForEmotionRecognition
from mm_emotion.schema import IGNORE_INDEX, MODALITIES, SPLITS
from mm_emotion.training.encoding import add_vectors, out_of_fold
from mm_emotion.training.evaluation import (
    Prediction,
    RunFacts,
    part_results,
    predict,
    versions,
    write_results,
)
from mm_emotion.training.loop import load_best, train
from mm_emotion.training.recipe import Encoder, Recipe, load_recipe, save_recipe

FEATURE_COLUMNS = ("input_ids", *MODALITIES)


@dataclass(frozen=True)
class Outcome:
    """What one seed leaves: result rows, the chosen epoch's predictions per part, the folder of the saved system."""

    rows: list[dict[str, object]]
    predictions: dict[str, Prediction]
    model_folder: Path
    notes: list[str]


@dataclass(frozen=True)
class _Job:
    """What stays the same through the stages of one seed."""

    corpus: Dataset
    split: Split
    seed: int
    out: Path
    accelerator: Accelerator
    progress_bar: bool
    state_seconds: float

    def part(self, rows: Dataset, name: str) -> Dataset:
        return take(rows, self.split, name)


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
) -> Outcome:
    """Run every stage of `recipe` for one seed, evaluate the chosen epoch, and save the system under `out`.

    A run that was interrupted goes on where it stood. Raises the typed errors of the rooms it passes through.
    """
    accelerator = accelerator or make_accelerator(recipe)
    notes = validate_split(corpus, split)
    folder = Path(out) / recipe.name / f"seed{seed}"
    job = _Job(corpus, split, seed, Path(out), accelerator, progress_bar, state_seconds)
    processor, rows = _featurize(recipe, job)
    encoders: dict[str, torch.nn.Module] = {}
    own_vectors: dict[str, np.ndarray] = {}
    for modality, encoder in recipe.encoders.items():
        encoders[modality], vectors = _stage_one(encoder, rows, job)
        if modality in recipe.features:
            own_vectors[modality] = _table(column_values(rows, modality))  # (N, D)
            vectors = np.concatenate([own_vectors[modality], vectors], axis=1)
        rows = add_vectors(rows, modality, vectors)
    model = _fit(recipe, rows, job, folder, recipe.name)
    results, predictions = _evaluate(recipe, model, rows, job, folder)
    system = _compose(recipe, model, encoders, {name: table.shape[1] for name, table in own_vectors.items()})
    model_folder = folder / "model"
    if accelerator.is_main_process:
        resolved = {"seed": seed, "split": asdict(_summary(split)), "notes": notes, "versions": versions()}
        _save(system, processor, recipe, resolved, results, model_folder)
        write_results(folder / "results.csv", results)
    accelerator.wait_for_everyone()
    return Outcome(results, predictions, model_folder, notes)


def open_corpus_of(recipe: Recipe, path: Path | None = None) -> Dataset:
    """The corpus of a recipe, with the feature columns that the recipe neither makes nor encodes itself."""
    made = {*recipe.features, *recipe.encoders, *(name for name, _ in _stage_features(recipe))}
    features = [name for name in recipe.model.get("modality_dims") or {} if name not in made]
    return open_corpus(recipe.corpus.name, recipe.corpus.labels, path, features)


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


def build_model(recipe: Recipe, class_weights: Sequence[float] | None = None) -> torch.nn.Module:
    """The untrained model of a recipe, with the names of its labels."""
    names = recipe.label_names
    settings = {
        **recipe.model,
        "id2label": dict(enumerate(names)),
        "label2id": {name: index for index, name in enumerate(names)},
        "problem_type": "regression" if recipe.is_regression else "single_label_classification",
    }
    settings.pop("num_labels", None)
    if class_weights is not None:
        settings["class_weights"] = [float(weight) for weight in class_weights]
    kind = settings.pop("model_type")
    try:
        config = AutoConfig.for_model(kind, **settings)
    except ValueError as error:
        if "Unrecognized model identifier" not in str(error):
            raise
        raise RecipeError("model.model_type", "a registered model type", repr(kind)) from error
    return AutoModel.from_config(config)


def _featurize(recipe: Recipe, job: _Job) -> tuple[EmotionProcessor, Dataset]:
    """Fit the features of all stages on the train part and add their columns to the corpus."""
    wanted: dict[str, dict] = {}
    for name, options in [*_stage_features(recipe), *recipe.features.items()]:
        if wanted.setdefault(name, options) != options:
            raise RecipeError(f"features.{name}", f"the options of its stage-one recipe, {wanted[name]}", options)
    train_rows = job.part(job.corpus, "train")
    processor = EmotionProcessor.fit(train_rows, features=wanted)
    if not wanted:
        return processor, job.corpus
    with job.accelerator.main_process_first():
        return processor, add_features(job.corpus, processor)


def add_features(rows: Dataset, processor: EmotionProcessor) -> Dataset:
    """`rows` with the feature columns that the processor makes, cached by the rows' and the processor's content."""
    text = json.dumps([rows._fingerprint, processor.to_json_string()])
    fingerprint = hashlib.sha256(text.encode()).hexdigest()[:32]
    kinds = {name: List(Value("int32" if name == "input_ids" else "float32")) for name in processor.columns}
    features = Features({**rows.features, **kinds})
    return rows.map(processor.utterance, features=features, desc="features", new_fingerprint=fingerprint)


def _stage_features(recipe: Recipe) -> list[tuple[str, dict]]:
    return [pair for encoder in recipe.encoders.values() for pair in load_recipe(encoder.recipe).features.items()]


def _stage_one(encoder: Encoder, rows: Dataset, job: _Job) -> tuple[torch.nn.Module, np.ndarray]:
    """Train an utterance model and encode all rows with it, train rows out of fold where the recipe says so."""
    recipe = load_recipe(encoder.recipe)
    folder = job.out / recipe.name / f"seed{job.seed}"
    model = _fit(recipe, rows, job, folder, recipe.name)
    vectors = _encode(model, recipe, rows, job, encoder.output)
    if encoder.training_features == "in_fold":
        return model, vectors
    if job.split.unit != "dialogue":
        raise RecipeError("encoders.training_features", "in_fold where the split cuts dialogues", "out_of_fold")
    is_train = np.isin(np.asarray(rows["dialogue_id"], dtype=object), job.split.train)
    train_rows = rows.select(np.flatnonzero(is_train))

    def encode_without(number: int, held_out: set[str]) -> np.ndarray:
        kept = replace(job, split=replace(job.split, train=tuple(d for d in job.split.train if d not in held_out)))
        name = f"{recipe.name} without fold {number + 1}/{encoder.folds}"
        fold_model = _fit(recipe, rows, kept, folder / f"fold{number + 1}of{encoder.folds}", name)
        where = np.flatnonzero([dialogue in held_out for dialogue in train_rows["dialogue_id"]])
        return _encode(fold_model, recipe, train_rows.select(where), job, encoder.output)

    vectors[is_train] = out_of_fold(train_rows["dialogue_id"], encoder.folds, job.seed, encode_without)
    return model, vectors


def _table(vectors: list[np.ndarray | None]) -> np.ndarray:
    """One row (D,) an utterance, zeros where the modality is missing."""
    width = next(len(vector) for vector in vectors if vector is not None)
    return np.stack([np.zeros(width, np.float32) if vector is None else vector for vector in vectors])


def _encode(model: torch.nn.Module, recipe: Recipe, rows: Dataset, job: _Job, output: str) -> np.ndarray:
    prediction = predict(model, _dataset(model, recipe, rows), collator_of(model), accelerator=job.accelerator)
    if output == "hidden_states":
        return prediction.hidden_states
    return torch.from_numpy(prediction.logits).log_softmax(dim=-1).numpy()


def _fit(recipe: Recipe, rows: Dataset, job: _Job, folder: Path, description: str) -> torch.nn.Module:
    """Train one model and load the epoch that the protocol chose; a finished run in `folder` is taken as it is."""
    set_seed(job.seed)
    train_rows = job.part(rows, "train")
    model = build_model(recipe, _class_weights(recipe, train_rows))
    model.to(job.accelerator.device)
    selection = [recipe.protocol.select_on]
    if recipe.protocol.record_test_selection and "test" not in selection:
        selection.append("test")
    train(
        model,
        _dataset(model, recipe, train_rows),
        {name: _dataset(model, recipe, job.part(rows, name)) for name in selection},
        recipe.training,
        seed=job.seed,
        folder=folder,
        accelerator=job.accelerator,
        collator=collator_of(model),
        identity=_data_identity(recipe, train_rows, list(model.input_shapes())),
        state_seconds=job.state_seconds,
        description=f"{description} seed {job.seed}",
        progress_bar=job.progress_bar,
    )
    load_best(model, folder, recipe.protocol.select_on)
    return model


def _data_identity(recipe: Recipe, rows: Dataset, columns: list[str]) -> str:
    """Hash of what a model learns from, so that a state is never resumed on other data."""
    digest = hashlib.sha256(json.dumps([recipe.model, sorted(recipe.features), list(rows["utterance_id"])]).encode())
    for name in [*columns, "affect" if recipe.is_regression else "label"]:
        for value in column_values(rows, name):
            digest.update(b"none" if value is None else np.asarray(value).tobytes())
    return digest.hexdigest()


def _dataset(model: torch.nn.Module, recipe: Recipe, rows: Dataset) -> DialogueDataset:
    columns = list(model.input_shapes())
    for column in columns:
        if column not in rows.column_names:
            raise FeatureError(f"column {column!r}", f"to be in the corpus for {recipe.name}", rows.column_names)
    return DialogueDataset(rows, unit=recipe.training.unit, columns=columns)


def collator_of(model: torch.nn.Module) -> EmotionCollator:
    """The collator that fits a model: as many parties as its configuration says."""
    return EmotionCollator(num_parties=model.config.num_parties)


def _class_weights(recipe: Recipe, train_rows: Dataset) -> list[float] | None:
    given = recipe.training.class_weights
    if given == "none":
        return None
    if isinstance(given, list):
        return given
    labels = np.asarray(train_rows["label"])
    counts = np.bincount(labels[labels != IGNORE_INDEX], minlength=len(recipe.label_names))
    return (counts.sum() / (len(counts) * np.maximum(counts, 1))).tolist()


def _evaluate(
    recipe: Recipe, model: torch.nn.Module, rows: Dataset, job: _Job, folder: Path
) -> tuple[list[dict[str, object]], dict[str, Prediction]]:
    chosen = recipe.protocol.select_on
    results: list[dict[str, object]] = []
    predictions: dict[str, Prediction] = {}
    for part in SPLITS[1:]:
        predictions[part], found = _evaluate_part(recipe, model, rows, job, part, chosen)
        results += found
    if recipe.protocol.record_test_selection and chosen != "test":
        load_best(model, folder, "test")
        results += _evaluate_part(recipe, model, rows, job, "test", "test")[1]
        load_best(model, folder, chosen)
    return results, predictions


def _evaluate_part(
    recipe: Recipe, model: torch.nn.Module, rows: Dataset, job: _Job, part: str, selected_on: str
) -> tuple[Prediction, list[dict[str, object]]]:
    part_rows = job.part(rows, part)
    prediction = predict(model, _dataset(model, recipe, part_rows), collator_of(model), accelerator=job.accelerator)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    facts = RunFacts(job.split, job.seed, selected_on, model.config.is_causal, parameters)
    scenarios = part_rows["scenario"] if "scenario" in part_rows.column_names else None
    return prediction, part_results(recipe, facts, prediction, part, scenarios)


def _compose(
    recipe: Recipe, model: torch.nn.Module, encoders: Mapping[str, torch.nn.Module], vectors: dict[str, int]
) -> torch.nn.Module:
    """One checkpoint for a two-stage system: its encoders and its dialogue model."""
    if not encoders:
        return model
    outputs = [recipe.encoders[modality].output for modality in encoders]
    return HierarchicalForEmotionRecognition.from_children(model, list(encoders.items()), outputs, vectors)


def _save(
    model, processor: EmotionProcessor, recipe: Recipe, resolved: dict, results: list[dict], folder: Path
) -> None:
    with replace_folder(folder) as temporary:
        model.save_pretrained(temporary)
        processor.save_pretrained(temporary)
        save_recipe(recipe, temporary / "recipe.yaml", resolved)
        write_results(temporary / "results.csv", results)


@dataclass(frozen=True)
class _SplitSummary:
    name: str
    train_dialogues: int
    validation_dialogues: int
    test_dialogues: int
    speaker_independent: bool


def _summary(split: Split) -> _SplitSummary:
    return _SplitSummary(
        split.name, len(split.train), len(split.validation), len(split.test), split.speaker_independent
    )
