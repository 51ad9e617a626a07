"""Drives the pages of saved systems in Chromium: conversation, upload, error, live, and nothing from outside.

python browser.py FOLDER CHROMIUM, where FOLDER holds the systems `dialogue_rnn`, `audio_dense` and `affect_dnn`
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from playwright.sync_api import Browser, Page, sync_playwright

from mm_emotion.demo import build_page
from mm_emotion.pipeline import MultimodalEmotionPipeline, load_system

PHONE = {"width": 390, "height": 844}
LONG = "word " * 300 + "w" * 300


def main(folder: Path, chromium: str) -> None:
    soundfile.write(folder / "clip.wav", np.random.default_rng(0).standard_normal(16000) * 0.1, 16000)
    (folder / "broken.wav").write_bytes(b"no sound")
    (folder / "turns.csv").write_text("speaker,text\nAnna,hello\nBen,leave me alone\n")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, walk in (("dialogue_rnn", conversation), ("audio_dense", sound), ("affect_dnn", affect)):
            visit(browser, folder, name, walk)
        browser.close()


def visit(browser: Browser, folder: Path, name: str, walk: Callable[[Page, Path], None]) -> None:
    model, processor = load_system(folder / name)
    page = build_page(MultimodalEmotionPipeline(model, processor=processor), name)
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **page.launch_options)
    requested: list[str] = []
    tab = browser.new_page(viewport=PHONE)
    tab.set_default_timeout(60_000)
    tab.on("request", lambda request: requested.append(request.url))
    tab.goto(address)
    tab.get_by_role("tab", name="Table").wait_for()
    walk(tab, folder)
    assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], f"{name}: wider than a telephone"
    tab.screenshot(path=folder / f"{name}.png", full_page=True)
    tab.close()
    page.close()
    outside = [url for url in requested if not url.startswith((address, "data:", "blob:"))]
    assert requested
    assert not outside, outside


def conversation(tab: Page, folder: Path) -> None:
    assert tabs(tab) == ["Conversation", "Clip", "Table", "Live"]
    tab.get_by_role("button", name="Analyse").press("Enter")
    tab.wait_for_selector("#conversation_result table")
    assert tab.inner_text("#conversation_result").count("Anna") == 2
    lines = tab.locator("#conversation").get_by_role("textbox")
    lines.fill(LONG)
    tab.get_by_role("button", name="Analyse").click()
    tab.wait_for_selector(f"#conversation_result >> text={LONG[-300:]}")
    assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], "a long word widens the page"
    lines.fill(" \n")
    tab.get_by_role("button", name="Analyse").click()
    tab.wait_for_selector("#conversation_result [role=alert]")
    upload(tab, "Clip", folder / "clip.wav")
    tab.wait_for_selector("#clip_result >> text=0.0 to 1.0 s")
    tab.locator("#said").get_by_role("textbox").fill("I can not wait")
    tab.get_by_role("button", name="Analyse").click()
    tab.wait_for_selector("#clip_result >> text=Contribution of each modality")
    upload(tab, "Table", folder / "turns.csv")
    tab.wait_for_selector("#table_result >> text=leave me alone")
    tab.get_by_role("tab", name="Live").click()
    words = tab.locator("#words").get_by_role("textbox")
    for number, (speaker, said) in enumerate((("Anna", "what a day"), ("Ben", "no"), ("Anna", "leave me alone")), 1):
        tab.locator("#speaker").get_by_role("textbox").fill(speaker)
        words.fill(said)
        words.press("Enter")
        tab.wait_for_selector(f"#heard >> text=/^{number} /")
    tab.get_by_role("button", name="Begin anew").click()
    tab.wait_for_selector("#heard .mme", state="detached")
    words.press("Enter")
    tab.wait_for_selector("#heard [role=alert]")


def sound(tab: Page, folder: Path) -> None:
    assert tabs(tab) == ["Clip", "Table", "Live"]
    assert not tab.locator("#said").is_visible()
    tab.get_by_role("button", name="Analyse").click()
    tab.wait_for_selector("#clip_result [role=alert]")
    upload(tab, "Clip", folder / "broken.wav")
    tab.wait_for_selector("#clip_result >> text=audio 'broken.wav': expected a readable audio file")
    assert "gradio" not in tab.inner_text("#clip_result")
    upload(tab, "Table", folder / "turns.csv")
    tab.wait_for_selector("#table_result >> text=expected an utterance with audio")


def affect(tab: Page, folder: Path) -> None:
    tab.get_by_role("button", name="Analyse").click()
    tab.wait_for_selector("#conversation_result .signed")
    assert not tab.locator("#conversation_result meter").count()


def tabs(tab: Page) -> list[str]:
    return [found.inner_text() for found in tab.get_by_role("tab").all()]


def upload(tab: Page, name: str, path: Path) -> None:
    tab.get_by_role("tab", name=name).click()
    tab.set_input_files(f"#{name.lower()} input[type=file]", str(path))
    tab.wait_for_selector(f"#{name.lower()} >> text={path.stem}")
    tab.wait_for_timeout(1000)
    tab.get_by_role("button", name="Analyse").click()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
