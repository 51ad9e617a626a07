"""Drives the page of a saved system in Chromium: conversation, upload, error, live, and nothing from outside.

python browser.py MODEL_FOLDER EMPTY_FOLDER CHROMIUM
"""

import sys
from pathlib import Path

import numpy as np
import soundfile
from playwright.sync_api import sync_playwright

from mm_emotion.demo import build_page
from mm_emotion.pipeline import MultimodalEmotionPipeline, load_system

PHONE = {"width": 390, "height": 844}


def main(model_folder: str, folder: Path, chromium: str) -> None:
    soundfile.write(folder / "clip.wav", np.random.default_rng(0).standard_normal(16000) * 0.1, 16000)
    (folder / "broken.wav").write_bytes(b"no sound")
    model, processor = load_system(model_folder)
    page = build_page(MultimodalEmotionPipeline(model, processor=processor), "tiny")
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **page.launch_options)
    requested: list[str] = []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport=PHONE)
        tab.set_default_timeout(60_000)
        tab.on("request", lambda request: requested.append(request.url))
        tab.goto(address)
        tab.get_by_role("button", name="Analyse").press("Enter")
        tab.wait_for_selector("#result table")
        assert tab.inner_text("#result").count("Anna") >= 2
        assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], "wider than a telephone"
        upload(tab, folder / "clip.wav")
        tab.wait_for_selector("#result >> text=0.0 to 1.0 s")
        tab.reload()
        upload(tab, folder / "broken.wav")
        tab.wait_for_selector("#result [role=alert]")
        assert "broken.wav" in tab.inner_text("#result")
        tab.get_by_role("tab", name="Live").click()
        tab.locator("#words").get_by_role("textbox").fill("what a day")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#heard >> text=what a day")
        tab.screenshot(path=folder / "page.png", full_page=True)
        browser.close()
    page.close()
    outside = [url for url in requested if not url.startswith((address, "data:", "blob:"))]
    assert requested
    assert not outside, outside


def upload(tab, path: Path) -> None:
    tab.wait_for_selector("#analyse")
    tab.set_input_files("input[type=file]", str(path))
    tab.wait_for_selector(f"text={path.stem}")
    tab.wait_for_timeout(1000)
    tab.click("#analyse")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
