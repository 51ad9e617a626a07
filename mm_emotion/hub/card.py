"""The model card of a saved system: one template, filled from what its folder holds, and the metadata the Hub reads."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

import yaml
from huggingface_hub import eval_result_entries_to_yaml

from mm_emotion.atomic import replace_file
from mm_emotion.features.processor import EmotionProcessor
from mm_emotion.figures import confusion_figure
from mm_emotion.hub.metadata import TITLES, evaluation_entries, metadata_of, seeds
from mm_emotion.hub.snippet import describe_inputs, snippet_of
from mm_emotion.hub.system import System
from mm_emotion.hub.terms import Consent, corpus_of, terms_of
from mm_emotion.training.confusion import Confusion
from mm_emotion.training.evaluation import read_results
from mm_emotion.training.recipe import Recipe
from mm_emotion.training.report import markdown_table, spread

TEMPLATE = Path(__file__).with_name("card_template.md")
PICTURE = "confusion_matrix.png"


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
    return f"---\n{metadata_of(system, repository, consent).to_yaml()}\n---\n\n{body}"


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
        with replace_file(folder / ".eval_results" / f"{corpus_of(system.recipe)[0]}.yaml") as temporary:
            temporary.write_text(data, encoding="utf-8")
    with replace_file(folder / "README.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    return text


def _what(system: System) -> str:
    recipe = system.recipe
    goal = (
        f"Rates {recipe.corpus.labels}"
        if recipe.is_regression
        else f"Names one of {len(recipe.label_names)} emotions ({', '.join(recipe.label_names)})"
    )
    reads = " and ".join(system.modalities)
    origin = f" It follows {_paper(recipe)}." if recipe.paper else ""
    _, corpus = corpus_of(recipe)
    text = f"{goal} for each utterance of a dialogue, from {reads}; trained on {corpus} with mm_emotion.{origin}"
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
        f"Corpus {corpus_of(recipe)[1]}, labels `{recipe.corpus.labels}`, split `{split}`, "
        f"scenario {recipe.corpus.scenario}. "
        f"The epoch was chosen on the {recipe.protocol.select_on} part by {recipe.training.monitor}; normalisation and "
        "vocabulary come from the training part alone. Figures marked *legacy, leaks* chose the epoch on the test "
        "part, as much published code does."
    )
    return "\n".join(textwrap.wrap(text + (f" {recipe.note}" if recipe.note else ""), 120))


def _figures(system: System) -> list[str]:
    recipe, found = system.recipe, system.test_values()
    if not found:
        return ["No test figures were recorded with this system."]
    scale = 1 if recipe.is_regression else 100
    names = list(dict.fromkeys(metric for metrics in found.values() for metric in metrics))
    header = ["test", *(f"epoch chosen on {name}, {seeds(_first(found[name]))}" for name in found), "published"]
    rows = []
    for name in names:
        published = recipe.published.get(name)
        cells = [spread(metrics.get(name), scale) for metrics in found.values()]
        rows.append([TITLES.get(name, name), *cells, "" if published is None else f"{published:g}"])
    unit = "Percent, " if scale == 100 else ""
    told = f"{unit}mean ± standard deviation over seeds where there are several."
    return [*markdown_table(header, rows), "", *textwrap.wrap(told + _interval(system), 120)]


def _interval(system: System) -> str:
    """The bootstrap interval of the strict weighted F1, in words; nothing where it was not recorded."""
    ends = [system.mean_of(f"weighted_f1_{end}") for end in ("low", "high")]
    if None in ends:
        return ""
    low, high = (100 * end for end in ends)
    return f" Weighted F1, 95 % by a bootstrap over test dialogues, epoch not chosen on test: {low:.1f} to {high:.1f}."


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
    known = terms_of(recipe)
    lines = [f"{known.title} ({known.source}): {known.terms}." if known else f"Corpus: {recipe.corpus.name}."]
    stated = consent.corpus_terms if consent else "not stated by the one who publishes this"
    lines.append(f"On publishing this model: {stated}")
    lines += [f"Features of {name}: {terms}." for name, terms in processor.feature_extractor.licences.items()]
    return "\n".join(f"- {line}" for line in lines)


def _citation(recipe: Recipe) -> str:
    known = terms_of(recipe)
    lines = [f"the method: {_paper(recipe)}"] if recipe.paper else []
    lines += [f"the corpus: {known.citation}"] if known else []
    return "\n".join(f"- {line}" for line in [*lines, "the code: mm_emotion, see its CITATION.cff"])


def _first(metrics: Mapping[str, Sequence[float]]) -> Sequence[float]:
    return next(iter(metrics.values()))
