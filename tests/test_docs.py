"""Every Python snippet of the documentation runs, every YAML one is a recipe's, and every link leads somewhere."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from mm_emotion.__main__ import main, parse
from mm_emotion.features.column import ColumnFeature

ON_THE_DEMO = ("quick_start", "your_own_data")
"""Pages whose snippets run where `make demo` has left a system and its corpus."""

DOCS = sorted((Path(__file__).resolve().parent.parent / "docs").glob("*.md"))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.fixture
def demo_folder(system, prepared, tmp_path, monkeypatch):
    """A working folder with what `make demo` leaves, and the csv of turns that a page shows."""
    demo = tmp_path / "build" / "demo"
    demo.mkdir(parents=True)
    (demo / "model").symlink_to(system)
    (demo / "corpus").symlink_to(prepared)
    (turns,) = blocks(DOCS[0].with_name("your_own_data.md"), "csv")
    (tmp_path / "turns.csv").write_text(turns, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ON_THE_DEMO)
def test_snippets_run_on_what_the_demo_leaves(name, demo_folder):
    page = DOCS[0].with_name(f"{name}.md")
    for code in blocks(page, "python"):
        exec(compile(code, page.name, "exec"), {})
    for line in "".join(blocks(page, "bash")).splitlines():
        words = shlex.split(line)[1:]
        if words[0] == "demo":  # a server, which runs until it is stopped
            assert parse(words).command == "demo"
        else:
            assert main(words) == 0, line
    written = {
        "quick_start": ("emotions.json", "build/report/report.md", "build/figures", "build/results.html"),
        "your_own_data": ("emotions.csv", "emotions.srt"),
    }
    for path in written[name]:
        assert (demo_folder / path).exists(), path


@pytest.mark.parametrize(
    "page",
    [page for page in DOCS if blocks(page, "python") and page.stem not in ON_THE_DEMO],
    ids=lambda page: page.stem,
)
def test_python_runs(page):
    for code in blocks(page, "python"):
        exec(compile(code, page.name, "exec"), {})


@pytest.mark.parametrize("page", [page for page in DOCS if blocks(page, "yaml")], ids=lambda page: page.stem)
def test_features_are_known(page):
    for block in blocks(page, "yaml"):
        features = yaml.safe_load(block)["features"]
        assert set(features) <= {"input_ids", "text", "audio", "visual", "mocap"}
        for column in set(features) & {"audio", "visual", "mocap"}:
            assert ColumnFeature.parse(column, features[column]).options().items() >= features[column].items()


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.stem)
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_the_commands_of_publishing_parse():
    (commands,) = blocks(DOCS[0].with_name("publishing.md"), "bash")
    for line in commands.splitlines():
        assert parse(shlex.split(line)[1:]).command in ("card", "push")
