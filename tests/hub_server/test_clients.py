"""The unmodified `huggingface_hub` client against the stand-in: what a push makes visible, and what it never does."""

import hashlib
from pathlib import Path

import pytest
from datasets import Dataset, load_dataset
from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from .server import Fault
from .store import LARGE, Refused

NAME = "org/thing"


def additions(**files: bytes) -> list[CommitOperationAdd]:
    return [CommitOperationAdd(name.replace("__", "."), data) for name, data in files.items()]


def content(path: str) -> bytes:
    return Path(path).read_bytes()


@pytest.fixture
def filled(client):
    """A repository with one commit of a small and a large file."""
    client.create_repo(NAME, private=True)
    client.create_commit(NAME, additions(a__txt=b"one", w__safetensors=b"1" * 5000), commit_message="first")
    return client


def test_who_and_whose(client):
    me = client.whoami()
    assert (me["name"], [org["name"] for org in me["orgs"]]) == ("someone", ["org"])
    client.create_repo(NAME, private=True)
    assert client.repo_exists(NAME)
    assert client.model_info(NAME).private
    assert not client.repo_exists("org/other")
    client.create_repo(NAME, exist_ok=True)
    with pytest.raises(HfHubHTTPError, match="409"):
        client.create_repo(NAME)
    with pytest.raises(HfHubHTTPError, match="403"):
        client.create_repo("strangers/thing")


def test_a_commit_is_pulled_as_it_was_pushed(filled, hub, tmp_path):
    assert filled.list_repo_files(NAME) == [".gitattributes", "a.txt", "w.safetensors"]
    folder = snapshot_download(NAME, local_dir=tmp_path / "copy")
    assert (tmp_path / "copy" / "a.txt").read_bytes() == b"one"
    assert (tmp_path / "copy" / "w.safetensors").read_bytes() == b"1" * 5000
    assert folder == str(tmp_path / "copy")
    assert [entry.lfs is not None for entry in filled.list_repo_tree(NAME)] == [False, False, True]
    assert filled.get_paths_info(NAME, ["w.safetensors"])[0].lfs.sha256 == hashlib.sha256(b"1" * 5000).hexdigest()
    hub.requests.clear()
    sha = filled.model_info(NAME).sha
    hf_hub_download(NAME, "a.txt", revision=sha)
    hf_hub_download(NAME, "a.txt", revision=sha)
    assert [method for method, path in hub.requests if "/resolve/" in path].count("GET") == 1


def test_revisions_stay_what_they_were(filled):
    first = filled.model_info(NAME).sha
    filled.create_tag(NAME, tag="v1")
    filled.create_branch(NAME, branch="trial")
    filled.create_commit(NAME, additions(a__txt=b"two"), commit_message="second", revision="trial")
    filled.create_commit(NAME, additions(a__txt=b"three"), commit_message="third", parent_commit=first)
    read = {}
    for revision in ("main", "trial", "v1", first):
        read[revision] = content(hf_hub_download(NAME, "a.txt", revision=revision))
    assert read == {"main": b"three", "trial": b"two", "v1": b"one", first: b"one"}
    assert [commit.title for commit in filled.list_repo_commits(NAME)] == ["third", "first", "initial commit"]
    found = filled.list_repo_refs(NAME)
    assert ({ref.name for ref in found.branches}, {ref.name for ref in found.tags}) == ({"main", "trial"}, {"v1"})
    with pytest.raises(HfHubHTTPError, match="412"):
        filled.create_commit(NAME, additions(a__txt=b"four"), commit_message="late", parent_commit=first)


def test_a_file_over_the_threshold_is_large(client, hub):
    client.create_repo(NAME)
    data = b"0123456789abcdef" * (LARGE // 16 + 1)
    client.upload_file(path_or_fileobj=data, path_in_repo="big.txt", repo_id=NAME)
    assert hashlib.sha256(data).hexdigest() in hub.store.large
    assert content(hf_hub_download(NAME, "big.txt")) == data
    again = HfApi().upload_file(path_or_fileobj=data, path_in_repo="copy.txt", repo_id=NAME)
    assert again.oid
    assert [method for method, path in hub.requests if path.startswith("/large/")].count("PUT") == 1


def test_what_is_missing_is_named(filled):
    with pytest.raises(EntryNotFoundError):
        hf_hub_download(NAME, "b.txt")
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download(NAME, "a.txt", revision="v9")
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download("org/other", "a.txt")


@pytest.mark.parametrize(("token", "status"), [("hf_wrong", "401"), ("hf_reader", "403"), (False, "401")])
def test_only_a_token_that_may_write_writes(filled, token, status):
    before = filled.model_info(NAME).sha
    other = HfApi(token=token)
    with pytest.raises(HfHubHTTPError, match=status):
        other.create_commit(NAME, additions(a__txt=b"two"), commit_message="second")
    with pytest.raises(HfHubHTTPError, match=status):
        other.create_repo("org/mine")
    assert filled.model_info(NAME).sha == before
    if token != "hf_reader":
        with pytest.raises(RepositoryNotFoundError if token is False else HfHubHTTPError):
            other.model_info(NAME)


@pytest.mark.parametrize(
    ("method", "path", "how"), [("PUT", "^/large/", 507), ("POST", "/verify$", 404), ("POST", "/commit/main$", 400)]
)
def test_of_an_upload_that_failed_nothing_is_visible(filled, hub, method, path, how, tmp_path):
    before = filled.model_info(NAME).sha
    operations = additions(a__txt=b"two", w__safetensors=b"2" * 5000, z__txt=b"new")
    hub.faults.append(Fault(method, path, how))
    with pytest.raises((HfHubHTTPError, RuntimeError)):
        filled.create_commit(NAME, operations, commit_message="second")
    assert filled.model_info(NAME).sha == before
    assert filled.list_repo_files(NAME) == [".gitattributes", "a.txt", "w.safetensors"]
    again = additions(a__txt=b"two", w__safetensors=b"2" * 5000, z__txt=b"new")
    filled.create_commit(NAME, again, commit_message="second")
    snapshot_download(NAME, local_dir=tmp_path)
    assert (tmp_path / "w.safetensors").read_bytes() == b"2" * 5000
    assert len(filled.list_repo_commits(NAME)) == 3


def test_a_dropped_connection_is_tried_again(filled, hub):
    hub.faults.append(Fault("PUT", "^/large/", "drop"))
    filled.create_commit(NAME, additions(w__safetensors=b"3" * 100_000), commit_message="second")
    assert content(hf_hub_download(NAME, "w.safetensors")) == b"3" * 100_000


def test_a_download_cut_in_two_is_resumed_or_leaves_no_file(filled, hub):
    hub.faults.append(Fault("GET", "^/large/", "half"))
    assert content(hf_hub_download(NAME, "w.safetensors")) == b"1" * 5000


def test_datasets_pushes_and_loads_by_revision(client):
    Dataset.from_dict({"x": [1, 2, 3]}).push_to_hub("org/rows", private=True)
    first = client.dataset_info("org/rows").sha
    Dataset.from_dict({"x": [4]}).push_to_hub("org/rows")
    assert load_dataset("org/rows", split="train")["x"] == [4]
    assert load_dataset("org/rows", split="train", revision=first)["x"] == [1, 2, 3]


def test_a_commit_that_names_what_was_never_uploaded_is_refused(filled, hub):
    repository = hub.store.find("model", NAME)
    with pytest.raises(Refused, match="not uploaded"):
        operations = [
            {"key": "file", "value": {"path": "a.txt", "data": b"two"}},
            {"key": "lfsFile", "value": {"path": "w.safetensors", "oid": "0" * 64, "size": 3}},
        ]
        hub.store.commit(repository, "main", "second", None, operations)
    assert content(hf_hub_download(NAME, "a.txt")) == b"one"
