"""A prepared dataset to the Hub: only where the terms of its corpus let its rows be passed on, and never its media."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from datasets import Dataset
from huggingface_hub import DatasetCardData

from mm_emotion.data.corpus import load_prepared
from mm_emotion.errors import CorpusError
from mm_emotion.hub.push import Push, commit_files
from mm_emotion.hub.terms import CORPUS_TERMS, Consent, consent
from mm_emotion.training.report import markdown_table

PATHS = ("audio_path", "video_path")


def is_prepared(folder: Path) -> bool:
    """Whether a folder is a prepared dataset, as `mm-emotion prepare` or `encode` writes it."""
    folder = Path(folder)
    return not (folder / "config.json").exists() and any(folder.rglob("*.parquet"))


def plan_dataset(folder: Path, repository: str, license: str | None = None, corpus_terms: str | None = None) -> Push:
    """What `push_dataset` would send, touching no network; raises CorpusError as it does."""
    corpus = shareable_corpus(folder)
    stated = consent(license, corpus_terms, corpus) if license and corpus_terms else None
    with gathered(folder, repository, corpus, stated) as (files, card):
        return Push({path: place.stat().st_size for path, place in files.items()}, card)


def push_dataset(
    folder: Path,
    repository: str,
    *,
    license: str | None,
    corpus_terms: str | None,
    private: bool = True,
    token: str | None = None,
) -> str:
    """Publish a prepared dataset as one commit of the dataset repository `repository`; returns its address.

    Paths of recordings are emptied: they lead nowhere on another machine. Raises CorpusError when the terms of the
    corpus do not let its rows be passed on or the licence is not the corpus's own, RecipeError when a statement is
    missing, CheckpointError when the Hub refuses.
    """
    corpus = shareable_corpus(folder)
    stated = consent(license, corpus_terms, corpus)
    own = CORPUS_TERMS[corpus].shared_as if corpus in CORPUS_TERMS else None
    if own is not None and stated.license != own:
        raise CorpusError("--license", f"{own}, which {CORPUS_TERMS[corpus].title} asks of what is passed on", license)
    with gathered(folder, repository, corpus, stated) as (files, _):
        return commit_files(files, repository, "dataset", f"mm_emotion: {corpus}", private, token)


def shareable_corpus(folder: Path) -> str:
    """The corpus of a prepared dataset, or a CorpusError that says why its rows may not be passed on."""
    path = Path(folder) / "manifest.json"
    try:
        corpus = json.loads(path.read_text(encoding="utf-8"))["corpus"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = "without it nobody knows whose terms hold"
        raise CorpusError(
            str(path), "the manifest of a prepared dataset, which names its corpus", error, hint
        ) from error
    known = CORPUS_TERMS.get(corpus)
    if known is not None and known.shared_as is None:
        expected = "a corpus whose terms let its rows be passed on"
        raise CorpusError(f"dataset {folder}", expected, f"{known.title}: {known.terms}", f"see {known.source}")
    return corpus


@contextmanager
def gathered(
    folder: Path, repository: str, corpus: str, stated: Consent | None
) -> Iterator[tuple[dict[str, Path], str]]:
    """The rows without paths and their card, as path in the repository -> file; and the card's text."""
    rows = load_prepared(folder)
    emptied = {name: [""] * len(rows) for name in PATHS if name in rows.column_names}
    for name, values in emptied.items():
        rows = rows.remove_columns(name).add_column(name, values, feature=rows.features[name])
    with TemporaryDirectory() as temporary:
        path = Path(temporary) / "data.parquet"
        rows.to_parquet(path)
        data = f"data/corpus-{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}.parquet"
        card = render_dataset_card(rows, repository, corpus, data, stated)
        readme = Path(temporary) / "README.md"
        readme.write_text(card, encoding="utf-8")
        manifest = Path(temporary) / "manifest.json"
        manifest.write_text(json.dumps({"corpus": corpus}) + "\n", encoding="utf-8")
        yield {"README.md": readme, data: path, "manifest.json": manifest}, card


def render_dataset_card(rows: Dataset, repository: str, corpus: str, data: str, stated: Consent | None) -> str:
    """README.md of a prepared dataset of one file `data`."""
    known = CORPUS_TERMS.get(corpus)
    name = repository.rsplit("/", 1)[-1]
    header = DatasetCardData(
        license=stated.license if stated else None,
        pretty_name=name,
        task_categories=["text-classification", "audio-classification"],
        tags=["mm_emotion", "emotion-recognition"],
        configs=[{"config_name": "default", "data_files": [{"split": "corpus", "path": data}]}],
    )
    columns = [[f"`{column}`", str(feature).replace("|", "\\|")] for column, feature in rows.features.items()]
    lines = [
        *("---", header.to_yaml(), "---", "", f"# {name}", ""),
        f"{len(rows)} utterances of {len(set(rows['dialogue_id']))} dialogues, one row each, sorted by dialogue and",
        "position, as mm_emotion prepares them for training. Recordings are not here, so their paths are empty.",
        "",
        *("## Columns", "", *markdown_table(["column", "type"], columns), ""),
        *("## Terms", "", f"- {known.title} ({known.source}): {known.terms}." if known else f"- Corpus: {corpus}."),
        f"- On publishing this: {stated.corpus_terms if stated else 'not stated by the one who publishes this'}",
    ]
    if known is not None:
        lines += ["", "## Citation", "", known.citation]
    return "\n".join(lines) + "\n"
