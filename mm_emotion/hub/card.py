"""The model card of a saved system: one template, filled from what its folder holds, and the metadata the Hub reads."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from string import Template

import safetensors
import torch
import yaml
from huggingface_hub import EvalResult, EvalResultEntry, ModelCardData, eval_result_entries_to_yaml
from transformers import AutoConfig, AutoModel, AutoProcessor

from mm_emotion.atomic import replace_file
from mm_emotion.features.processor import EmotionProcessor
from mm_emotion.figures import confusion_figure
from mm_emotion.hub.snippet import describe_inputs, snippet_of
from mm_emotion.hub.terms import CORPUS_TERMS, Consent
from mm_emotion.models.configuration_emotion import EmotionConfig
from mm_emotion.schema import MODALITIES
from mm_emotion.training.confusion import Confusion, read_confusion
from mm_emotion.training.evaluation import LEGACY, read_results
from mm_emotion.training.recipe import Recipe
from mm_emotion.training.report import markdown_table, spread
from mm_emotion.training.saved import recipe_of

TEMPLATE = Path(__file__).with_name("card_template.md")
SEEDS_FILE = "seeds.csv"
"""Results of all seeds of a recipe beside the `results.csv` of the one that is published."""

PICTURE = "confusion_matrix.png"
TASKS = {"audio": "audio-classification", "visual": "video-classification", "text": "text-classification"}
"""Modality -> task of the Hub; a system of several has the first of these."""

TITLES = {
    "accuracy": "accuracy",
    "unweighted_accuracy": "unweighted accuracy",
    "weighted_f1": "weighted F1",
    "macro_f1": "macro F1",
    "mean_absolute_error": "mean absolute error",
    "concordance_correlation": "concordance correlation",
    "pearson": "Pearson correlation",
}


@dataclass(frozen=True)
class System:
    """A folder of a saved system, as its card reads it."""

    folder: Path

    @cached_property
    def recipe(self) -> Recipe:
        return recipe_of(self.folder)

    @cached_property
    def config(self) -> EmotionConfig:
        return AutoConfig.from_pretrained(self.folder)

    @cached_property
    def model(self) -> torch.nn.Module:
        """The model without its weights."""
        with torch.device("meta"):
            return AutoModel.from_config(self.config)

    @cached_property
    def processor(self) -> EmotionProcessor:
        return AutoProcessor.from_pretrained(self.folder)

    @cached_property
    def modalities(self) -> list[str]:
        """What the model reads, words counted as text."""
        read = {"text" if key == "input_ids" else key for key in self.model.input_shapes()}
        return [modality for modality in MODALITIES if modality in read]

    @cached_property
    def confusion(self) -> Confusion | None:
        return read_confusion(self.folder)

    @cached_property
    def parameters(self) -> int:
        """Values in the saved weights."""
        total = 0
        for path in self.folder.glob("model*.safetensors"):
            with safetensors.safe_open(path, "pt") as file:
                total += sum(torch.Size(file.get_slice(name).get_shape()).numel() for name in file.keys())  # noqa: SIM118
        return total

    def results(self) -> list[dict[str, str]]:
        """Result rows of all seeds where they are known, else of the saved one."""
        return read_results(self.folder / SEEDS_FILE) or read_results(self.folder / "results.csv")

    def test_values(self) -> dict[str, dict[str, list[float]]]:
        """What chose the epoch -> metric -> its values on the test part, one a seed; strict choices come first."""
        found: dict[str, dict[str, list[float]]] = {}
        for row in sorted(self.results(), key=lambda row: row["selected_on"] == LEGACY):
            if row["fold"] == "test" and not row["metric"].endswith(("_low", "_high")):
                found.setdefault(row["selected_on"], {}).setdefault(row["metric"], []).append(float(row["value"]))
        return found


def render_card(folder: Path, repository: str, consent: Consent | None = None) -> str:
    """README.md of a saved system, metadata included, as a repository of that name would show it.

    Without `consent` it has no licence and says that the terms are not stated. Raises CheckpointError when the folder
    is no saved system.
    """
    system = System(Path(folder))
    recipe = system.recipe
    body = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=repository.rsplit("/", 1)[-1],
        what=_what(system),
        facts="\n".join(f"| {name} | {value} |" for name, value in _facts(system).items()),
        snippet=snippet_of(repository, system.model, system.processor),
        inputs="\n".join(textwrap.wrap(describe_inputs(system.model, system.processor), 120)),
        protocol=_protocol(system),
        figures="\n".join(_figures(system)),
        classes="\n".join(_classes(system.confusion)),
        terms=_terms(recipe, system.processor, consent),
        citation=_citation(recipe),
    )
    return f"---\n{_metadata(system, repository, consent).to_yaml()}\n---\n\n{body}"


def write_card(folder: Path, repository: str, consent: Consent | None = None) -> str:
    """Write README.md, `.eval_results/<corpus>.yaml` and, for classes, the picture into a folder; returns the text."""
    folder = Path(folder)
    system = System(folder)
    text = render_card(folder, repository, consent)
    if system.confusion is not None:
        confusion = system.confusion
        confusion_figure(confusion.counts, confusion.names, folder / PICTURE, repository.rsplit("/", 1)[-1])
    entries = evaluation_entries(system)
    if entries:
        data = yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False)
        with replace_file(folder / ".eval_results" / f"{system.recipe.corpus.name}.yaml") as temporary:
            temporary.write_text(data, encoding="utf-8")
    with replace_file(folder / "README.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    return text


def evaluation_entries(system: System) -> list[EvalResultEntry]:
    """The strict test figures, means over seeds, in the form that the Hub's leaderboards read."""
    corpus = system.recipe.corpus
    return [
        EvalResultEntry(
            dataset_id=corpus.name,
            task_id=f"{corpus.labels}_{metric}",
            value=round(sum(values) / len(values), 6),
            notes=f"split {corpus.split}, epoch chosen on {selected_on}, mean of {_seeds(values)}",
        )
        for selected_on, metrics in system.test_values().items()
        if selected_on != LEGACY
        for metric, values in metrics.items()
    ]


def _metadata(system: System, repository: str, consent: Consent | None) -> ModelCardData:
    recipe = system.recipe
    task = next((TASKS[name] for name in TASKS if name in system.modalities), None)
    results = [
        EvalResult(
            task_type=task or "other",
            task_name="emotion recognition",
            dataset_type=recipe.corpus.name,
            dataset_name=_title(recipe),
            dataset_config=recipe.corpus.labels,
            dataset_split="test",
            metric_type=metric,
            metric_name=f"{TITLES.get(metric, metric)}, mean of {_seeds(values)}"
            + (", epoch chosen on test: legacy, leaks" if selected_on == LEGACY else ""),
            metric_value=round(sum(values) / len(values), 6),
        )
        for selected_on, metrics in list(system.test_values().items())[:1]
        for metric, values in metrics.items()
    ]
    return ModelCardData(
        license=consent.license if consent else None,
        library_name="transformers",
        pipeline_tag=task,
        tags=["mm_emotion", "emotion-recognition", *system.modalities, system.config.model_type],
        metrics=sorted({result.metric_type for result in results}) or None,
        model_name=repository.rsplit("/", 1)[-1],
        eval_results=results or None,
    )


def _title(recipe: Recipe) -> str:
    known = CORPUS_TERMS.get(recipe.corpus.name)
    return known.title if known else recipe.corpus.name


def _what(system: System) -> str:
    recipe = system.recipe
    goal = (
        f"Rates {recipe.corpus.labels}"
        if recipe.is_regression
        else f"Names one of {len(recipe.label_names)} emotions ({', '.join(recipe.label_names)})"
    )
    reads = " and ".join(system.modalities)
    origin = f" It follows {_paper(recipe)}." if recipe.paper else ""
    text = (
        f"{goal} for each utterance of a dialogue, from {reads}; trained on {_title(recipe)} with mm_emotion.{origin}"
    )
    return "\n".join(textwrap.wrap(text, 120))


def _paper(recipe: Recipe) -> str:
    paper = recipe.paper
    return f"{paper.title}{f' ({paper.year})' if paper.year else ''}, row “{paper.row}”"


def _facts(system: System) -> dict[str, str]:
    causal = "yes: may be used as the conversation goes" if system.config.is_causal else "no: reads later utterances"
    rows = system.results()
    seed = read_results(system.folder / "results.csv")
    return {
        "recipe": f"`{system.recipe.name}`, complete in `recipe.yaml`",
        "model type": f"`{system.config.model_type}`",
        "reads": ", ".join(system.modalities),
        "parameters": f"{system.parameters:,}",
        "causal": causal,
        **({"seed": seed[0]["seed"]} if seed else {}),
        **({"made with": rows[0]["versions"], "commit": rows[0]["commit"]} if rows else {}),
    }


def _protocol(system: System) -> str:
    recipe, rows = system.recipe, system.results()
    split = rows[0]["split"] if rows else recipe.corpus.split
    text = (
        f"Corpus {_title(recipe)}, labels `{recipe.corpus.labels}`, split `{split}`, "
        f"scenario {recipe.corpus.scenario}. "
        f"The epoch was chosen on the {recipe.protocol.select_on} part by {recipe.training.monitor}; normalisation and "
        "vocabulary come from the training part alone. A row that says *legacy, leaks* chose the epoch on the test "
        "part, as much published code does."
    )
    return "\n".join(textwrap.wrap(text + (f" {recipe.note}" if recipe.note else ""), 120))


def _figures(system: System) -> list[str]:
    recipe, found = system.recipe, system.test_values()
    if not found:
        return ["No test figures were recorded with this system."]
    scale = 1 if recipe.is_regression else 100
    names = list(dict.fromkeys(metric for metrics in found.values() for metric in metrics))
    header = ["test", *(f"epoch chosen on {name}, {_seeds(_first(found[name]))}" for name in found), "published"]
    rows = []
    for name in names:
        published = recipe.published.get(name)
        cells = [spread(metrics.get(name), scale) for metrics in found.values()]
        rows.append([TITLES.get(name, name), *cells, "" if published is None else f"{published:g}"])
    unit = "Percent, " if scale == 100 else ""
    return [*markdown_table(header, rows), "", f"{unit}mean ± standard deviation over seeds where there are several."]


def _classes(confusion: Confusion | None) -> list[str]:
    if confusion is None:
        return ["No figures of single classes were recorded with this system."]
    rows = [
        [name, str(confusion.counts[index].sum()), f"{confusion.recall[index]:.3f}", f"{confusion.f1[index]:.3f}"]
        for index, name in enumerate(confusion.names)
    ]
    table = markdown_table(["class", "utterances", "recall", "F1"], rows)
    return [
        f"Each class on the {confusion.part} part, by the published seed:",
        "",
        *table,
        "",
        f"![Confusion matrix]({PICTURE})",
    ]


def _terms(recipe: Recipe, processor: EmotionProcessor, consent: Consent | None) -> str:
    known = CORPUS_TERMS.get(recipe.corpus.name)
    lines = [f"{known.title} ({known.source}): {known.terms}." if known else f"Corpus: {recipe.corpus.name}."]
    stated = consent.corpus_terms if consent else "not stated by the one who publishes this"
    lines.append(f"On publishing this model: {stated}")
    lines += [f"Features of {name}: {terms}." for name, terms in processor.feature_extractor.licences.items()]
    return "\n".join(f"- {line}" for line in lines)


def _citation(recipe: Recipe) -> str:
    known = CORPUS_TERMS.get(recipe.corpus.name)
    lines = [f"the method: {_paper(recipe)}"] if recipe.paper else []
    lines += [f"the corpus: {known.citation}"] if known else []
    return "\n".join(f"- {line}" for line in [*lines, "the code: mm_emotion, see its CITATION.cff"])


def _first(metrics: Mapping[str, Sequence[float]]) -> Sequence[float]:
    return next(iter(metrics.values()))


def _seeds(values: Sequence[float]) -> str:
    return f"{len(values)} seed" + ("s" if len(values) > 1 else "")
