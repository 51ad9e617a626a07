"""An empty Hub for each test, and the clients of this process and of others pointed at it."""

import os

import datasets
import pytest
import transformers.utils.hub
from huggingface_hub import HfApi, close_session, constants

from .server import running_hub


def pytest_itemcollected(item) -> None:
    # huggingface_hub itself uploads large files in a way that its HTTP library calls deprecated.
    item.add_marker(pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload:DeprecationWarning"))


@pytest.fixture(scope="session")
def server():
    # one address for the whole session, as the clients remember theirs
    with running_hub() as running:
        yield running


@pytest.fixture
def hub(server):
    """The Hub, empty and without faults."""
    server.reset()
    return server


@pytest.fixture
def client(hub, tmp_path, monkeypatch):
    """Point `huggingface_hub`, `transformers` and `datasets` at the Hub, with a fresh cache and a token."""
    cache = tmp_path / "cache"
    for name, value in {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_DISABLE_TELEMETRY": True,
        "HF_HUB_CACHE": str(cache),
        "HF_TOKEN_PATH": str(tmp_path / "token"),
    }.items():
        monkeypatch.setattr(constants, name, value)
    for name, value in {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": False, "HF_DATASETS_OFFLINE": False}.items():
        monkeypatch.setattr(datasets.config, name, value)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr(transformers.utils.hub, "_hf_api", None)  # made at first use, with the address of that time
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    yield HfApi()
    close_session()


@pytest.fixture
def environment(hub, tmp_path):
    """Environment of another process that speaks to the Hub."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    own = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_writer", "HF_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    return kept | own | {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
