"""A saved system or a prepared dataset to the Hub, in one commit: what is there is whole, or as it was before."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError

from mm_emotion.errors import CheckpointError
from mm_emotion.features.extractor import FILE_NAME as ARRAYS_FILE
from mm_emotion.features.latent_semantic import FILE_NAME as LATENT_FILE
from mm_emotion.features.pretrained_tokenizer import FOLDER as TOKENIZER_FOLDER
from mm_emotion.features.word_sequences import FILE_NAME as SEQUENCES_FILE
from mm_emotion.hub.card import write_card
from mm_emotion.hub.remote_code import add_remote_code
from mm_emotion.hub.system import SEEDS_FILE
from mm_emotion.hub.terms import Consent, consent
from mm_emotion.pipeline import SYSTEM_FILES
from mm_emotion.training.confusion import FILE_NAME as CONFUSION_FILE
from mm_emotion.training.continuous import FILE_NAME as FRAMES_FILE
from mm_emotion.training.saved import recipe_of

NEEDED = (*SYSTEM_FILES, "recipe.yaml", "results.csv")
OPTIONAL = (ARRAYS_FILE, LATENT_FILE, SEQUENCES_FILE, SEEDS_FILE, CONFUSION_FILE, FRAMES_FILE)
WEIGHTS = ("model.safetensors", "model-*.safetensors", "model.safetensors.index.json")


@dataclass(frozen=True)
class Push:
    """What a push would send: path in the repository -> size in bytes, and the text of the card."""

    files: dict[str, int]
    card: str

    def describe(self) -> str:
        """The files with their sizes, then the card."""
        width = max(len(path) for path in self.files)
        lines = [f"{path:{width}}  {size:>12,} bytes" for path, size in self.files.items()]
        total = f"{len(self.files)} files, {sum(self.files.values()):,} bytes"
        return "\n".join([*lines, total, "", self.card])


def plan_system(folder: Path, repository: str, license: str | None = None, corpus_terms: str | None = None) -> Push:
    """What `push_system` would send, touching no network; the card has no licence where the two are not stated."""
    stated = consent(license, corpus_terms, recipe_of(folder).corpus.name) if license and corpus_terms else None
    with gathered(folder, repository, stated) as (files, card):
        return Push({path: place.stat().st_size for path, place in files.items()}, card)


def push_system(
    folder: Path,
    repository: str,
    *,
    license: str | None,
    corpus_terms: str | None,
    private: bool = True,
    token: str | None = None,
) -> str:
    """Publish a saved system as one commit of the model repository `repository` (owner/name); returns its address.

    The repository is made where there is none. `license` and `corpus_terms` state what the publisher publishes under,
    and what the terms of the corpus say of it. Raises RecipeError when one is missing, and CheckpointError when the
    folder is no whole system, the Hub refuses, or a private push would go to a public repository.
    """
    stated = consent(license, corpus_terms, recipe_of(folder).corpus.name)
    with gathered(folder, repository, stated) as (files, _):
        return commit_files(files, repository, "model", f"mm_emotion: {Path(folder).name}", private, token)


@contextmanager
def gathered(folder: Path, repository: str, stated: Consent | None) -> Iterator[tuple[dict[str, Path], str]]:
    """The files of a system with its card, as path in the repository -> file, in a private copy; and the card's text.

    Raises CheckpointError when a file is missing.
    """
    folder = Path(folder)
    absent = [name for name in NEEDED if not (folder / name).is_file()]
    weights = [path for pattern in WEIGHTS for path in sorted(folder.glob(pattern))]
    if absent or not weights:
        raise CheckpointError(f"system {folder}", "a saved system", f"no {', '.join(absent or WEIGHTS[:1])}")
    with TemporaryDirectory() as temporary:
        copy = Path(temporary)
        for path in [*weights, *(folder / name for name in (*NEEDED, *OPTIONAL) if (folder / name).is_file())]:
            shutil.copyfile(path, copy / path.name)
        if (folder / TOKENIZER_FOLDER).is_dir():
            shutil.copytree(folder / TOKENIZER_FOLDER, copy / TOKENIZER_FOLDER)
        _forget_places(copy / "recipe.yaml")
        card = write_card(copy, repository, stated)
        add_remote_code(copy)
        yield {str(path.relative_to(copy)): path for path in sorted(copy.rglob("*")) if path.is_file()}, card


def _forget_places(path: Path) -> None:
    """Leave the names of files and folders that a training started from, not where they were on this machine."""
    recipe = recipe_of(path.parent)
    vectors = recipe.features.get("input_ids", {}).get("word_vectors")
    places = [str(vectors["path"])] if vectors else []
    places += [place for place in recipe.pretrained.values() if Path(place).is_absolute()]
    for place in places:
        path.write_text(path.read_text(encoding="utf-8").replace(place, Path(place).name), encoding="utf-8")


def commit_files(
    files: dict[str, Path], repository: str, kind: str, message: str, private: bool, token: str | None
) -> str:
    """One commit that adds `files` and removes weights, data and JSON of an earlier push that are not among them."""
    api = HfApi(token=token)
    try:
        api.create_repo(repository, repo_type=kind, private=private, exist_ok=True)
        info = api.repo_info(repository, repo_type=kind)
        if private and not info.private:
            hint = "say --public, or choose another name"
            raise CheckpointError(f"Hub repository {repository}", "a private one", "one that is public", hint)
        before = [sibling.rfilename for sibling in info.siblings or ()]
        stale = [path for path in before if path not in files and path.endswith((".safetensors", ".parquet", ".json"))]
        operations = [CommitOperationDelete(path) for path in stale]
        operations += [CommitOperationAdd(path, place) for path, place in files.items()]
        done = api.create_commit(repository, operations, repo_type=kind, commit_message=message, parent_commit=info.sha)
    except HFValidationError as error:
        raise CheckpointError("Hub repository", "owner/name", repr(repository)) from error
    except (HfHubHTTPError, HTTPError, RuntimeError) as error:  # RuntimeError: what the client makes of a failed upload
        cause = " ".join(str(error.__cause__ or error).split())
        raise CheckpointError(f"Hub repository {repository}", "a push", cause) from error
    return done.commit_url
