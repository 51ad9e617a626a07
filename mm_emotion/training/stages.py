"""One seed's networks: what stays the same through the stages, and how each is fitted and encodes for the next."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from datasets import Dataset

from mm_emotion.data.collator import EmotionCollator
from mm_emotion.data.corpus import MEDIA_COLUMNS, DialogueDataset
from mm_emotion.data.rows import column_values
from mm_emotion.data.splits import Split, take
from mm_emotion.errors import CorpusError, FeatureError, RecipeError
from mm_emotion.features.processor import EmotionProcessor
from mm_emotion.features.word_vectors import start_from
from mm_emotion.models.late_fusion.modeling_late_fusion import LateFusionForEmotionRecognition
from mm_emotion.models.modeling_emotion import EmotionPreTrainedModel
from mm_emotion.schema import IGNORE_INDEX
from mm_emotion.training.building import all_stages, build_model, children_of, compose, stage_one_recipe
from mm_emotion.training.encoding import out_of_fold
from mm_emotion.training.evaluation import predict
from mm_emotion.training.features import made_columns
from mm_emotion.training.fine_tuning import start_from_model
from mm_emotion.training.fitting import choose_complexity, choose_linear, choose_weights
from mm_emotion.training.loop import train
from mm_emotion.training.pretrained import KIND as PRETRAINED
from mm_emotion.training.pretrained import encoders_of, kept_vectors, start_encoders
from mm_emotion.training.recipe import FITTED, Encoder, Recipe
from mm_emotion.training.weights import load_best

__all__ = [
    "Job",
    "all_stages",
    "build_model",
    "children_of",
    "collator_of",
    "compose",
    "dataset_of",
    "fit",
    "fit_stage_one",
    "fuse",
    "stage_one_recipe",
]


@dataclass(frozen=True)
class Job:
    """What stays the same through the stages of one seed; with `start`, training goes on from a saved model."""

    split: Split
    seed: int
    out: Path
    accelerator: Accelerator
    progress_bar: bool = True
    state_seconds: float = 30.0
    processor: EmotionProcessor | None = None
    start: EmotionPreTrainedModel | None = None

    def part(self, rows: Dataset, name: str) -> Dataset:
        return take(rows, self.split, name)

    def folder(self, recipe: Recipe) -> Path:
        """Where the runs of a recipe live."""
        return self.out / recipe.name / f"seed{self.seed}"


def fuse(recipe: Recipe, children: list[torch.nn.Module], rows: Dataset, job: Job) -> torch.nn.Module:
    """The late fusion of trained systems, with weights found on the part that the protocol selects on.

    Where the recipe says so, with the shares of the classes among the training utterances as the prior.
    """
    options = {name: value for name, value in recipe.model.items() if name not in ("model_type", "num_labels")}
    if recipe.training.class_prior == "train":
        counts = np.maximum(_label_counts(recipe, job.part(rows, "train")), 1)  # no class is ruled out
        options["class_prior"] = (counts / counts.sum()).tolist()
    model = LateFusionForEmotionRecognition.from_children(children, **options)
    model.to(job.accelerator.device).eval()
    if model.config.rule in ("weighted", "linear") and "weights" not in options:
        part = dataset_of(model, recipe, job.part(rows, recipe.protocol.select_on), job.processor)
        _check_labelled(recipe.protocol.select_on, part)
        if model.config.rule == "linear":
            choose_linear(model, part, collator_of(model))
        else:
            choose_weights(model, part, collator_of(model), recipe.training.monitor)
    return model


def fit(recipe: Recipe, rows: Dataset, job: Job, folder: Path, description: str) -> torch.nn.Module:
    """Train one model and load the epoch that the protocol chose; a finished run in `folder` is taken as it is."""
    set_seed(job.seed)
    train_rows = job.part(rows, "train")
    model = build_model(recipe, _class_weights(recipe, train_rows))
    if job.start is None:
        start_encoders(model, recipe)
        _start_from_vectors(model, job.processor)
    else:
        start_from_model(model, job.start)
    model.to(job.accelerator.device)
    selection = [recipe.protocol.select_on]
    if recipe.protocol.record_test_selection and "test" not in selection:
        selection.append("test")
    parts = {name: job.part(rows, name) for name in ("train", *selection)}
    datasets = {name: dataset_of(model, recipe, part, job.processor) for name, part in parts.items()}
    for name, dataset in datasets.items():
        _check_labelled(name, dataset)
    if recipe.model["model_type"] in FITTED:
        choose_complexity(model, *datasets.values(), collator_of(model), recipe.training.monitor)
        return model
    train(
        model,
        datasets.pop("train"),
        datasets,
        recipe.training,
        seed=job.seed,
        folder=folder,
        accelerator=job.accelerator,
        collator=collator_of(model),
        identity=_identity(recipe, parts, model, job.start),
        state_seconds=job.state_seconds,
        description=f"{description} seed {job.seed}",
        progress_bar=job.progress_bar,
    )
    load_best(model, folder, recipe.protocol.select_on)
    return model


def fit_stage_one(
    encoder: Encoder, parent: Recipe, rows: Dataset, job: Job
) -> tuple[torch.nn.Module, np.ndarray, np.ndarray]:
    """Train an utterance model on the parent's labels and encode all rows, train rows out of fold where it says so.

    A pretrained encoder that training would not change is taken as it is, and what it makes is kept. Returns the model,
    its vectors (N, D), and which rows (N,) had anything to encode.
    """
    recipe = stage_one_recipe(encoder, parent)
    folder = job.folder(recipe)
    model = _still_encoder(encoder, recipe, job)
    is_still = model is not None
    if not is_still:
        model = fit(recipe, rows, job, folder, recipe.name)
        vectors = _encode(model, recipe, rows, job, encoder.output)
    else:
        vectors = kept_vectors(rows, model, partial(_encode, model, recipe, rows, job, encoder.output))
    present = np.zeros(len(rows), dtype=bool)
    for column in model.input_shapes():
        # A column that is not kept is made from the recording.
        media = ("audio_path", "video_path") if column == "audio" else ("video_path",)
        for name in (column,) if column in rows.column_names else media:
            present |= np.array([value is not None and len(value) > 0 for value in column_values(rows, name)])
    if encoder.training_features == "in_fold" or is_still:
        return model, vectors, present
    if job.split.unit != "dialogue":
        raise RecipeError("encoders.training_features", "in_fold where the split cuts dialogues", "out_of_fold")
    is_train = np.isin(np.asarray(rows["dialogue_id"], dtype=object), job.split.train)
    train_rows = rows.select(np.flatnonzero(is_train))

    def encode_without(number: int, held_out: set[str]) -> np.ndarray:
        kept = replace(job, split=replace(job.split, train=tuple(d for d in job.split.train if d not in held_out)))
        name = f"{recipe.name} without fold {number + 1}/{encoder.folds}"
        fold_model = fit(recipe, rows, kept, folder / f"fold{number + 1}of{encoder.folds}", name)
        where = np.flatnonzero([dialogue in held_out for dialogue in train_rows["dialogue_id"]])
        return _encode(fold_model, recipe, train_rows.select(where), job, encoder.output)

    vectors[is_train] = out_of_fold(train_rows["dialogue_id"], encoder.folds, job.seed, encode_without)
    return model, vectors, present


def _still_encoder(encoder: Encoder, recipe: Recipe, job: Job) -> torch.nn.Module | None:
    """The pretrained encoder of a stage one that training would not change, None where it is another model."""
    if recipe.model["model_type"] != PRETRAINED or encoder.output != "hidden_states":
        return None
    set_seed(job.seed)
    model = build_model(recipe)
    if not model.config.is_still:
        return None
    start_encoders(model, recipe)
    return model.to(job.accelerator.device).eval()


def collator_of(model: torch.nn.Module, modalities: Sequence[str] | None = None) -> EmotionCollator:
    """The collator that fits a model: as many parties as its configuration says, any number if it is blind to them.

    `modalities` are those that the batch keeps, None for all.
    """
    return EmotionCollator(model.config.num_parties if model.needs_speakers else None, modalities)


def dataset_of(
    model: torch.nn.Module, recipe: Recipe, rows: Dataset, processor: EmotionProcessor | None = None
) -> DialogueDataset:
    """The rows in the recipe's unit with the columns that the model reads.

    What no dataset keeps, as clips and waveforms, is made by the processor as it is read, unless an encoder's vectors
    stand there. Raises FeatureError when a column is absent.
    """
    made = made_columns(processor, [column for column in model.input_shapes() if column not in rows.column_names])
    columns = [column for column in model.input_shapes() if column not in made]
    for column in columns:
        if column not in rows.column_names:
            raise FeatureError(f"column {column!r}", f"to be in the corpus for {recipe.name}", rows.column_names)
    return DialogueDataset(rows, unit=recipe.training.unit, columns=columns, made=made)


def _start_from_vectors(model: torch.nn.Module, processor: EmotionProcessor | None) -> None:
    """Put the recipe's word vectors, if any, into every embedding of the model that reads words."""
    if processor is None or processor.embedding_table is None:
        return
    readers = [part for part in model.modules() if isinstance(part, EmotionPreTrainedModel)]
    started = False
    for reader in readers:
        try:
            embedding = reader.get_input_embeddings()
        except NotImplementedError:
            continue
        if embedding is not None:
            start_from(embedding, processor.embedding_table)
            started = True
    if not started and "input_ids" in model.input_shapes():
        raise RecipeError(
            "features.input_ids.word_vectors", "a model with a table of word vectors", type(model).__name__
        )


def _check_labelled(part: str, dataset: DialogueDataset) -> None:
    labels = dataset.labels
    if labels is None or not (np.isfinite(labels) if labels.ndim == 2 else labels != IGNORE_INDEX).any():
        raise CorpusError(f"labels of the {part} part", "at least one labelled utterance", "none")


def _encode(model: torch.nn.Module, recipe: Recipe, rows: Dataset, job: Job, output: str) -> np.ndarray:
    prediction = predict(
        model, dataset_of(model, recipe, rows, job.processor), collator_of(model), accelerator=job.accelerator
    )
    if output == "hidden_states":
        return prediction.hidden_states
    return torch.from_numpy(prediction.logits).log_softmax(dim=-1).numpy()


def _class_weights(recipe: Recipe, train_rows: Dataset) -> list[float] | None:
    given = recipe.training.class_weights
    if given == "none":
        return None
    if isinstance(given, list):
        return given
    counts = _label_counts(recipe, train_rows)
    return (counts.sum() / (len(counts) * np.maximum(counts, 1))).tolist()


def _label_counts(recipe: Recipe, rows: Dataset) -> np.ndarray:
    """How many utterances have each label, (K,)."""
    labels = np.array([IGNORE_INDEX if label is None else label for label in rows["label"]])
    return np.bincount(labels[labels != IGNORE_INDEX], minlength=len(recipe.label_names))


def _identity(
    recipe: Recipe, parts: dict[str, Dataset], model: EmotionPreTrainedModel, start: EmotionPreTrainedModel | None
) -> str:
    """Hash of what a run learns and chooses from, so that a state is never resumed on other data or features."""
    settings = [recipe.model, recipe.features, {name: asdict(encoder) for name, encoder in recipe.encoders.items()}]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    # Weights that training starts from are known by themselves: what lies at a path may change.
    given = [start] if start is not None else encoders_of(model) if recipe.pretrained else []
    for name, value in (pair for part in given for pair in part.state_dict().items()):
        digest.update(name.encode() + value.cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    target, columns = "affect" if recipe.is_regression else "label", list(model.input_shapes())
    for part, rows in parts.items():
        digest.update(part.encode())
        media = () if set(columns) <= set(rows.column_names) else MEDIA_COLUMNS
        kept = [name for name in columns if name in rows.column_names]
        for name in ("utterance_id", "dialogue_id", "position", "party", *kept, *media, target):
            for value in column_values(rows, name):
                digest.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    return digest.hexdigest()
