"""One tiny system for the tests of the front: generated corpus, prepared, trained for an epoch, saved."""

import os

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

TINY = [
    "training.epochs=2",
    "model.global_size=8",
    "model.party_size=8",
    "model.emotion_size=8",
    "model.hidden_size=8",
]


@pytest.fixture(scope="session")
def miniature(tmp_path_factory):
    """A generated release folder of short dialogues."""
    from mm_emotion.data.miniature import write_miniature

    return write_miniature(
        tmp_path_factory.mktemp("miniature") / "raw", dialogues=25, utterances=(3, 5), video=False, mocap=False
    )


@pytest.fixture(scope="session")
def prepared(miniature, tmp_path_factory):
    """The generated corpus as `mm-emotion prepare` leaves it."""
    from mm_emotion.__main__ import main

    out = tmp_path_factory.mktemp("prepared") / "corpus"
    assert main(["prepare", "iemocap", "--data-dir", str(miniature), "--out", str(out), "--config", "six_way"]) == 0
    return out


@pytest.fixture(scope="session")
def runs(prepared, tmp_path_factory):
    """A folder of runs: the demo's two-stage system, shrunk and hardly trained."""
    from mm_emotion.__main__ import main

    out = tmp_path_factory.mktemp("runs")
    arguments = ["train", "demo/miniature_dialogue", *TINY, "--data", str(prepared), "--out", str(out), "--quiet"]
    assert main(arguments) == 0
    return out


@pytest.fixture(scope="session")
def system(runs):
    """The folder of the saved system."""
    (model,) = runs.glob("demo/miniature_dialogue */seed0/model")
    return model
