"""A published system in one line: with the package imported or by trusted code, by revision, offline, in bfloat16."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from huggingface_hub import ModelCard, constants
from transformers import AutoModel, AutoProcessor

from mm_emotion.__main__ import main
from mm_emotion.errors import CheckpointError
from mm_emotion.hub.push import push_system
from mm_emotion.pipeline import load_system, system_folder
from mm_emotion.training.evaluation import read_results
from mm_emotion.training.saved import recipe_of

NAME, BY_HAND = "org/iemocap-demo", "org/by-hand"
DIALOGUE = [{"speaker": "A", "text": "what a lovely day"}, {"speaker": "B", "text": "leave me alone"}]


@pytest.fixture(autouse=True)
def published(client, system):
    """The Hub holds the system, and no cache does."""
    push_system(system, NAME, license="cc-by-nc-4.0", corpus_terms="generated dialogues")


@pytest.fixture(scope="session")
def expected(system):
    """Logits of the saved folder itself."""
    model, processor = load_system(system)
    with torch.no_grad():
        return model(**processor(DIALOGUE)).logits


def logits_of(where, **options):
    model = AutoModel.from_pretrained(where, **options)
    with torch.no_grad():
        return model(**AutoProcessor.from_pretrained(where)(DIALOGUE)).logits


def test_one_line_gives_logits(expected):
    assert torch.equal(logits_of(NAME), expected)
    model, processor = load_system(NAME)
    with torch.no_grad():
        assert torch.equal(model(**processor(DIALOGUE)).logits, expected)


def test_a_published_system_is_evaluated_predicts_and_is_trained_further(system, prepared, tmp_path, capsys):
    words = ["--data", str(prepared)]
    assert main(["evaluate", NAME, *words, "--out", str(tmp_path / "hub")]) == 0
    assert main(["evaluate", str(system), *words, "--out", str(tmp_path / "own")]) == 0
    assert [row["value"] for row in read_results(tmp_path / "hub" / "results.csv")] == [
        row["value"] for row in read_results(tmp_path / "own" / "results.csv")
    ]
    capsys.readouterr()
    assert main(["predict", "--model", NAME, *words]) == 0
    here = capsys.readouterr().out
    assert main(["predict", "--model", str(system), *words]) == 0
    assert capsys.readouterr().out == here
    assert main(["train", *words, "--from", NAME, "--out", str(tmp_path / "runs"), "training.epochs=1", "--quiet"]) == 0
    assert main(["evaluate", "org/absent", *words]) == 2
    assert "model 'org/absent': expected a folder, or a Hub id that can be reached" in capsys.readouterr().err


def test_a_system_of_the_hub_is_a_folder_with_its_recipe(system, monkeypatch):
    assert recipe_of(system_folder(NAME)) == recipe_of(system)
    assert system_folder(system) == system
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert recipe_of(system_folder(NAME)) == recipe_of(system)
    with pytest.raises(CheckpointError, match=r"model 'org/nothing'"):
        system_folder("org/nothing")


def test_once_loaded_it_loads_offline(expected, hub, monkeypatch):
    logits_of(NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.requests.clear()
    assert torch.equal(logits_of(NAME), expected)
    assert hub.requests == []


def test_what_was_never_loaded_is_a_clear_error_offline(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(OSError, match="couldn't find them in the cached files"):
        AutoModel.from_pretrained(NAME)


def test_a_revision_is_what_it_was(expected, client, system, tmp_path):
    first = client.model_info(NAME).sha
    client.create_tag(NAME, tag="v1")
    model = AutoModel.from_pretrained(system)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    model.push_to_hub(NAME)
    assert torch.equal(logits_of(NAME), torch.zeros_like(expected))
    for revision in ("v1", first):
        model = AutoModel.from_pretrained(NAME, revision=revision)
        processor = AutoProcessor.from_pretrained(NAME, revision=revision)
        with torch.no_grad():
            assert torch.equal(model(**processor(DIALOGUE)).logits, expected)


def test_bfloat16(expected):
    logits = logits_of(NAME, dtype=torch.bfloat16)
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(logits.float(), expected, atol=0.05, rtol=0.05)


def test_a_map_of_devices(expected):
    model = AutoModel.from_pretrained(NAME, device_map="auto")
    batch = AutoProcessor.from_pretrained(NAME)(DIALOGUE).to(model.device)
    with torch.no_grad():
        torch.testing.assert_close(model(**batch).logits.cpu(), expected, atol=1e-5, rtol=1e-5)


def test_weights_in_several_files(expected, client, system, tmp_path):
    folder = shutil.copytree(system, tmp_path / "model")
    (folder / "model.safetensors").unlink()
    AutoModel.from_pretrained(system).save_pretrained(folder, max_shard_size="60KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    push_system(folder, NAME, license="cc-by-nc-4.0", corpus_terms="generated dialogues")
    assert "model.safetensors" not in client.list_repo_files(NAME)
    assert torch.equal(logits_of(NAME), expected)


@pytest.mark.parametrize("first", ["model", "processor"])
def test_model_and_processor_push_themselves(first, client, expected, system):
    model, processor = load_system(system)
    parts = [model, processor] if first == "model" else [processor, model]
    parts[0].push_to_hub(BY_HAND, private=True)
    parts[1].push_to_hub(BY_HAND)
    assert client.model_info(BY_HAND).private
    assert torch.equal(logits_of(BY_HAND), expected)
    card = ModelCard.load(BY_HAND)
    assert card.data.library_name == "transformers" and card.data.license is None
    assert f'AutoModel.from_pretrained("{BY_HAND}")' in card.content
    assert "automatically generated" not in card.content


@pytest.mark.parametrize("way", ["push_to_hub", "save_pretrained"])
def test_a_model_pushes_its_card_in_one_commit_and_leaves_one_that_is_there(way, client, system, tmp_path):
    model, _ = load_system(system)

    def push(name):
        if way == "push_to_hub":
            model.push_to_hub(name, tags=["demo"])
        else:
            model.save_pretrained(tmp_path / "saved", push_to_hub=True, repo_id=name)

    client.create_repo(BY_HAND)
    before = len(client.list_repo_commits(BY_HAND))
    push(BY_HAND)
    assert len(client.list_repo_commits(BY_HAND)) == before + 1
    assert {"README.md", "config.json", "model.safetensors"} <= set(client.list_repo_files(BY_HAND))
    tags = ModelCard.load(BY_HAND).data.tags
    assert {"mm_emotion", "hierarchical"} <= set(tags) and ("demo" in tags) == (way == "push_to_hub")
    published = ModelCard.load(NAME).content
    push(NAME)
    assert "## Results" in published
    assert ModelCard.load(NAME).text == ModelCard(published).text
    assert ModelCard.load(NAME).data.license == "cc-by-nc-4.0"


REMOTE = f"""
import sys, torch
from transformers import AutoModel, AutoProcessor
first, second = (AutoModel, AutoProcessor) if sys.argv[1] == "model" else (AutoProcessor, AutoModel)
loaded = [cls.from_pretrained({NAME!r}, trust_remote_code=True) for cls in (first, second)]
model, processor = loaded if sys.argv[1] == "model" else loaded[::-1]
with torch.no_grad():
    logits = model(**processor({DIALOGUE!r})).logits
print(type(model).__module__, type(processor).__module__)
print(logits.flatten().tolist())
model.save_pretrained(sys.argv[2])
processor.save_pretrained(sys.argv[2])
"""


@pytest.mark.parametrize("first", ["model", "processor"])
def test_trusted_code_needs_no_import(first, expected, environment, tmp_path):
    command = [sys.executable, "-c", REMOTE, first, str(tmp_path / "saved")]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    modules, logits = result.stdout.splitlines()
    assert modules == "mm_emotion.models.hierarchical.modeling_hierarchical mm_emotion.features.processor"
    # Another process may add in another order: within rounding.
    torch.testing.assert_close(torch.tensor(json.loads(logits)), expected.flatten())
    assert torch.equal(logits_of(tmp_path / "saved"), expected)


REFUSED = f"""
import sys
from transformers import AutoModel
for trust in (False, True):
    sys.modules["mm_emotion"] = None  # as where the package is not installed
    try:
        AutoModel.from_pretrained({NAME!r}, trust_remote_code=trust)
    except (ImportError, ValueError) as error:
        print(type(error).__name__, " ".join(str(error).split()))
"""


def test_without_trust_or_without_the_package_the_error_says_what_to_do(environment):
    command = [sys.executable, "-c", REFUSED]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    without_trust, without_package = result.stdout.splitlines()
    assert without_trust.startswith("ValueError")
    assert "trust_remote_code=True" in without_trust
    assert without_package.startswith("ImportError this checkpoint needs the package mm_emotion")
