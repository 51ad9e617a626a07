"""The page in a browser, where Gradio, Playwright and Chromium are there."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mm_emotion.demo import build_page
from mm_emotion.errors import CheckpointError, MissingExtraError
from mm_emotion.hub import tiny_checkpoint
from mm_emotion.pipeline import MultimodalEmotionPipeline, load_system

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def predict(tmp_path_factory):
    model, processor = load_system(tiny_checkpoint("dialogue_rnn", tmp_path_factory.mktemp("tiny") / "model"))
    return MultimodalEmotionPipeline(model, processor=processor)


def test_without_gradio_the_extra_is_named(predict, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(MissingExtraError, match="demo"):
        build_page(predict, "tiny")


def test_a_system_that_reads_none_of_what_the_page_takes_is_refused(predict, monkeypatch):
    monkeypatch.setattr("mm_emotion.demo.page.modalities_read", lambda _: ["mocap"])
    with pytest.raises(CheckpointError, match=r"model 'tiny': expected a system .* got mocap"):
        build_page(predict, "tiny")


def test_a_taken_port_is_one_line(tmp_path):
    pytest.importorskip("gradio")
    model = tiny_checkpoint("text_cnn", tmp_path / "model")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "mm_emotion", "demo", "--model", model, "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"mm-emotion demo: port {port} cannot be opened: choose another with --port"


def test_the_page_in_a_browser(tmp_path):
    for needed in ("gradio", "playwright.sync_api"):
        pytest.importorskip(needed)
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    for family in ("dialogue_rnn", "audio_dense", "affect_dnn"):
        tiny_checkpoint(family, tmp_path / family)
    script = Path(__file__).with_name("browser.py")
    # A process of its own: Gradio and Playwright leave threads and sockets behind.
    done = subprocess.run([sys.executable, script, tmp_path, CHROMIUM], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
