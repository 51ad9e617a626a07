"""A saved system on a corpus: what its folder says of it, its evaluation and its encodings."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from datasets import Dataset

from mm_emotion.atomic import replace_folder
from mm_emotion.data.splits import resolve_split, take, validate_split
from mm_emotion.errors import CheckpointError, CorpusError
from mm_emotion.models.batch import modality_of
from mm_emotion.pipeline import described, load_system
from mm_emotion.schema import MODALITIES
from mm_emotion.training.continuous import Outputs, judge
from mm_emotion.training.encoding import add_vectors
from mm_emotion.training.evaluation import Prediction, RunFacts, predict, read_results
from mm_emotion.training.features import add_features
from mm_emotion.training.recipe import Recipe, load_recipe
from mm_emotion.training.stages import collator_of, dataset_of

_SHOWN = ["utterance_id", "speaker", "transcript", "start", "end"]


@dataclass(frozen=True)
class Evaluation:
    """A saved system's predictions on one part of a corpus, with what is needed to describe them.

    Those of frames are in time, delayed and smoothed as the recipe says; `beside` are their values beside the metrics.
    """

    folder: Path
    recipe: Recipe
    prediction: Prediction
    part: str
    facts: RunFacts
    scenarios: list[str] | None
    notes: list[str]
    modalities: tuple[str, ...] = ()
    beside: Mapping[str, float] = field(default_factory=dict)


def recipe_of(folder: Path) -> Recipe:
    """The recipe saved with a system; raises CheckpointError when there is none."""
    path = Path(folder) / "recipe.yaml"
    if not path.is_file():
        raise CheckpointError(f"model folder {folder}", "a saved system with recipe.yaml", "no such file")
    return load_recipe(str(path))


def evaluate_folder(
    folder: Path, corpus: Dataset, part: str = "test", modalities: Sequence[str] | None = None
) -> Evaluation:
    """Load a saved system and run it on one part of its recipe's split, all `modalities` but those named missing.

    Raises CheckpointError when the folder lacks its recipe, or what frames need, and the typed errors of corpus and
    split.
    """
    recipe = recipe_of(folder)
    model, processor = load_system(folder)
    split = resolve_split(corpus, recipe.corpus.split)
    notes = validate_split(corpus, split)
    rows = add_features(take(corpus, split, part), processor)
    # A system that was trained on single utterances is given single utterances.
    dataset, collator, beside = dataset_of(model, recipe, rows, processor), collator_of(model, modalities), {}
    prediction = predict(model, dataset, collator)
    if recipe.frames is not None:
        outputs = Outputs.load(folder, recipe.frames)
        prediction, beside = judge(model, recipe, dataset, collator, prediction, outputs)
    # The recipe's own model, as its training counts it: the encoders of a two-stage system have recipes of their own.
    own = model.dialogue if recipe.encoders else model
    saved = read_results(Path(folder) / "results.csv")
    seed = int(saved[0]["seed"]) if saved else recipe.protocol.seeds[0]
    # The run knows what the recipe alone does not: whether a stage one chose its epoch on the test part.
    chosen = next((row["selected_on"] for row in saved if row["fold"] == "validation"), recipe.protocol.select_on)
    facts = RunFacts(split, seed, chosen, model.config.is_causal, own.num_parameters())
    scenarios = list(rows["scenario"]) if "scenario" in rows.column_names else None
    reads = {modality_of(key) for key in model.input_shapes()}
    read = tuple(name for name in MODALITIES if name in reads)
    return Evaluation(Path(folder), recipe, prediction, part, facts, scenarios, notes, read, beside)


def predict_dialogue(
    folder: Path, corpus: Dataset, part: str = "test", dialogue: str | None = None
) -> tuple[str, list[dict]]:
    """The name of a dialogue, the first of a part unless one is named, and what a saved system says of its utterances.

    As the pipeline says it, with `labelled` where the corpus has a class; outputs of frames are in time, delayed and
    smoothed as the recipe says. Reads the feature columns of the corpus where the processor makes none. Raises
    CorpusError for an unknown dialogue, and what `evaluate_folder` raises.
    """
    recipe = recipe_of(folder)
    model, processor = load_system(folder)
    if dialogue is None:
        dialogue = take(corpus, resolve_split(corpus, recipe.corpus.split), part)["dialogue_id"][0]
    rows = corpus.select([index for index, name in enumerate(corpus["dialogue_id"]) if name == dialogue])
    if not len(rows):
        raise CorpusError("--dialogue", "a dialogue of the corpus", repr(dialogue))
    names = corpus.features["label"].names if "label" in corpus.column_names else []
    turns = list(rows.select_columns(_SHOWN))
    rows = add_features(rows, processor)
    prediction = predict(model, dataset_of(model, recipe, rows, processor), collator_of(model))
    if recipe.frames is not None:
        prediction = Outputs.load(folder, recipe.frames).of(prediction)
    said = described(turns, torch.from_numpy(prediction.logits), model.config)
    labels = rows["label"] if names else [None] * len(turns)
    return dialogue, [
        row if label is None else {**row, "labelled": names[label]} for row, label in zip(said, labels, strict=True)
    ]


def encode_folder(folder: Path, corpus: Dataset, column: str, out: Path) -> None:
    """Write `corpus` with the hidden states of a saved system as the feature `column`, as a prepared dataset.

    Raises CorpusError when `out` exists and is anything but an empty folder or an earlier result of this.
    """
    out = Path(out)
    earlier = out.is_dir() and all(path.name.startswith("encoded-") for path in out.iterdir())
    if out.exists() and not earlier:
        raise CorpusError(f"--out {out}", "a new folder, or an earlier result of encode", "other content")
    model, processor = load_system(folder)
    rows = add_features(corpus, processor)
    dataset = dataset_of(model, recipe_of(folder), rows, processor)
    vectors = predict(model, dataset, collator_of(model)).hidden_states
    with replace_folder(out) as temporary:
        path = temporary / "encoded.parquet"
        add_vectors(corpus, column, vectors).to_parquet(path)
        # load_dataset keeps what it once read under a name: new content gets a new one.
        path.rename(temporary / f"encoded-{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}.parquet")
