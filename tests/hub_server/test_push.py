"""`mm-emotion push` over HTTP: one commit, private, with licence and terms, and nothing partial on the way."""

import json
import shutil
import signal
import subprocess
import sys

import pytest
from datasets import Dataset, load_dataset
from huggingface_hub import ModelCard

from mm_emotion.__main__ import main
from mm_emotion.errors import CheckpointError, CorpusError, RecipeError
from mm_emotion.hub.push import push_system
from mm_emotion.training.recipe import load_recipe, save_recipe

from .server import Fault

NAME = "org/iemocap-demo"
STATED = {"license": "cc-by-nc-4.0", "corpus_terms": "generated dialogues, free to share"}
WORDS = ["--license", "cc-by-nc-4.0", "--corpus-terms", "generated dialogues, free to share"]


@pytest.fixture(autouse=True)
def _client(client):
    """Every test here speaks to the stand-in."""


def test_a_system_arrives_whole_in_one_private_commit(system, hub, client, capsys):
    assert main(["push", str(system), NAME, *WORDS]) == 0
    repository = hub.store.find("model", NAME)
    first, _ = repository.history("main")
    assert capsys.readouterr().out == f"pushed {hub.url}/{NAME}/commit/{first.sha}\n"
    assert repository.private
    assert set(first.files) == {
        *(".gitattributes", "README.md", "config.json", "model.safetensors", "processor_config.json", "vocab.json"),
        *("tokenizer_config.json", "features.safetensors", "recipe.yaml", "results.csv", "modeling_mm_emotion.py"),
        *(
            "confusion_matrix.json",
            "confusion_matrix.png",
            "confusion_matrix_dark.png",
            ".eval_results/generated_iemocap.yaml",
        ),
    }
    assert first.files["model.safetensors"].data == (system / "model.safetensors").read_bytes()
    assert "auto_map" not in (system / "config.json").read_text()
    card = ModelCard.load(NAME)
    assert card.data.license == "cc-by-nc-4.0"
    assert f'AutoModel.from_pretrained("{NAME}")' in card.text
    assert "free to share" in card.text
    card.validate()


def test_the_place_of_word_vectors_stays_at_home(system, hub, tmp_path):
    folder = shutil.copytree(system, tmp_path / "model")
    recipe = load_recipe("demo/miniature_text_cnn", ["features.input_ids.word_vectors={path: /home/me/glove.txt}"])
    save_recipe(recipe, folder / "recipe.yaml")
    push_system(folder, NAME, **STATED)
    text = hub.store.find("model", NAME).commit_at("main").files["recipe.yaml"].data.decode()
    assert "path: glove.txt" in text
    assert "/home/me" not in text


def test_a_pretrained_encoder_brings_its_tokenizer_and_leaves_its_place_at_home(system, hub, tmp_path):
    folder = shutil.copytree(system, tmp_path / "model")
    (folder / "pretrained_tokenizer").mkdir()
    (folder / "pretrained_tokenizer" / "tokenizer.json").write_text("{}")
    save_recipe(load_recipe("ours/iemocap_minilm", ["pretrained.text=/home/me/minilm"]), folder / "recipe.yaml")
    push_system(folder, NAME, **STATED)
    files = hub.store.find("model", NAME).commit_at("main").files
    assert files["pretrained_tokenizer/tokenizer.json"].data == b"{}"
    assert "/home/me" not in files["recipe.yaml"].data.decode()


def test_a_second_push_replaces_what_the_first_left(system, hub, client):
    push_system(system, NAME, **STATED)
    client.upload_file(path_or_fileobj=b"x", path_in_repo="model-00001-of-00002.safetensors", repo_id=NAME)
    client.upload_file(path_or_fileobj=b"x", path_in_repo="notes.txt", repo_id=NAME)
    push_system(system, NAME, **STATED)
    files = client.list_repo_files(NAME)
    assert "notes.txt" in files
    assert "model-00001-of-00002.safetensors" not in files


def test_a_dry_run_shows_files_and_card_and_asks_nobody(system, hub, capsys):
    assert main(["push", str(system), NAME, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert f"model.safetensors                     {(system / 'model.safetensors').stat().st_size:>12,} bytes" in shown
    assert "# iemocap-demo" in shown
    assert "license:" not in shown
    assert shown.endswith("not sent; a push also needs --license and --corpus-terms\n")
    assert hub.requests == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (WORDS[:2], "--corpus-terms: expected a sentence"),
        (WORDS[2:], "--license: expected the licence"),
        (["--license", "cc-by-nc", *WORDS[2:]], "did you mean 'cc-by-nc-4.0'"),
        (["--license", "mit", "--corpus-terms", "  "], "IEMOCAP: given to each user by agreement"),
    ],
)
def test_licence_and_terms_are_asked_for_and_never_guessed(system, hub, words, message, capsys):
    assert main(["push", str(system), NAME, *words]) == 2
    assert message in capsys.readouterr().err
    assert hub.requests == []


@pytest.mark.parametrize("name", ["noslash", "a/b/c", "a b/c", "/c"])
def test_a_name_that_is_no_repository_is_refused_before_the_dry_run(system, hub, name, capsys):
    assert main(["push", str(system), name, "--dry-run"]) == 2
    shown = capsys.readouterr()
    assert shown.err == f"mm-emotion push: repository: expected owner/name, got {name!r}\n" and shown.out == ""


def test_a_private_push_does_not_go_to_a_public_repository(system, hub, client, capsys):
    client.create_repo(NAME, private=False)
    assert main(["push", str(system), NAME, *WORDS]) == 2
    assert "--public" in capsys.readouterr().err
    assert client.list_repo_files(NAME) == [".gitattributes"]
    assert main(["push", str(system), NAME, *WORDS, "--public"]) == 0
    assert "README.md" in client.list_repo_files(NAME)


@pytest.mark.parametrize(
    ("name", "token", "message"),
    [
        (NAME, "hf_wrong", "401"),
        (NAME, "hf_reader", "403"),
        ("strangers/model", "hf_writer", "403"),
        ("no/such/name", "hf_writer", "owner/name"),
    ],
)
def test_a_refusal_of_the_hub_is_one_line(system, hub, name, token, message, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", token)
    assert main(["push", str(system), name, *WORDS]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not hub.store.repositories


def test_a_folder_that_is_no_whole_system_is_refused_before_anything_is_sent(system, hub, tmp_path):
    (tmp_path / "recipe.yaml").write_bytes((system / "recipe.yaml").read_bytes())
    with pytest.raises(CheckpointError, match=r"config\.json"):
        push_system(tmp_path, NAME, **STATED)
    assert hub.requests == []


def test_an_upload_that_failed_changes_nothing_and_may_be_repeated(system, hub, client, tmp_path):
    push_system(system, NAME, **STATED)
    before = client.model_info(NAME).sha
    changed = shutil.copytree(system, tmp_path / "changed")
    weights = (changed / "model.safetensors").read_bytes()[:-4] + b"\0" * 4
    (changed / "model.safetensors").write_bytes(weights)
    hub.faults.append(Fault("PUT", "^/large/", 507, times=9))
    with pytest.raises(CheckpointError, match="507"):
        push_system(changed, NAME, **STATED)
    assert client.model_info(NAME).sha == before
    hub.faults.clear()
    push_system(changed, NAME, **STATED)
    assert hub.store.find("model", NAME).commit_at("main").files["model.safetensors"].data == weights


def test_a_push_that_is_killed_leaves_nothing_half_visible(system, hub, client, environment):
    client.create_repo(NAME, private=True)
    hub.faults.append(Fault("PUT", "^/large/", "hang", times=9))
    command = [sys.executable, "-m", "mm_emotion", "push", str(system), NAME, *WORDS]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        assert hub.stalled.wait(120)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert client.list_repo_files(NAME) == [".gitattributes"]
    hub.faults.clear()
    push_system(system, NAME, **STATED)
    assert "model.safetensors" in client.list_repo_files(NAME)


@pytest.fixture
def shareable(prepared, tmp_path):
    """The generated corpus under a name that the table of terms does not know."""
    folder = tmp_path / "own"
    folder.mkdir()
    rows = load_dataset(str(prepared), split="corpus")
    assert any(rows["audio_path"])
    rows.to_parquet(folder / "corpus.parquet")
    (folder / "manifest.json").write_text(json.dumps({"corpus": "own_dialogues"}))
    return folder


def test_a_prepared_dataset_arrives_without_the_paths_of_its_recordings(shareable, hub, capsys):
    assert main(["push", str(shareable), "org/own", *WORDS]) == 0
    repository = hub.store.find("dataset", "org/own")
    assert repository.private
    assert len(repository.history("main")) == 2
    ours = Dataset.from_parquet(str(shareable / "corpus.parquet"))
    theirs = load_dataset("org/own", split="corpus")
    assert theirs["transcript"] == ours["transcript"]
    assert theirs.features == ours.features
    assert set(theirs["audio_path"]) == {""}


def test_a_dry_run_of_a_dataset_shows_its_card(shareable, hub, capsys):
    assert main(["push", str(shareable), "org/own", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "| `utterance_id` |" in shown
    assert hub.requests == []


def test_rows_that_may_not_be_passed_on_are_refused_with_the_reason(prepared, hub, capsys):
    for more in ([], ["--dry-run"]):
        assert main(["push", str(prepared), "org/iemocap", *WORDS, *more]) == 2
        error = capsys.readouterr().err
        assert "IEMOCAP: given to each user by agreement with its owners" in error
        assert "sail.usc.edu" in error
    assert hub.requests == []


def test_a_corpus_keeps_its_own_licence(shareable, hub):
    from mm_emotion.hub.dataset import push_dataset

    (shareable / "manifest.json").write_text(json.dumps({"corpus": "ravdess"}))
    with pytest.raises(CorpusError, match=r"cc-by-nc-sa-4\.0, which RAVDESS asks"):
        push_dataset(shareable, "org/ravdess", **STATED)
    with pytest.raises(RecipeError, match="--license"):
        push_dataset(shareable, "org/ravdess", license=None, corpus_terms=None)
    (shareable / "manifest.json").unlink()
    with pytest.raises(CorpusError, match="whose terms"):
        push_dataset(shareable, "org/ravdess", **STATED)
    assert hub.requests == []
