"""Every Python snippet of the documentation runs, every YAML one is a recipe's, and every link leads somewhere."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from mm_emotion.__main__ import main, parse
from mm_emotion.commands import COMMANDS
from mm_emotion.data.splits import SPLIT_NAMES
from mm_emotion.features.column import ColumnFeature
from mm_emotion.training.evaluation import RESULT_COLUMNS
from mm_emotion.training.families import families

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
        if words[0] in ("demo", "figures"):  # a server, and pictures that take their time: tests of their own run them
            assert parse(words).command == words[0]
        else:
            assert main(words) == 0, line
    written = {
        "quick_start": ("emotions.json", "build/report/report.md", "build/results.html"),
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


@pytest.mark.parametrize("page", [*DOCS, DOCS[0].parent.parent / "llms.txt"], ids=lambda page: page.stem)
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_the_commands_of_publishing_parse():
    (commands,) = blocks(DOCS[0].with_name("publishing.md"), "bash")
    for line in commands.splitlines():
        assert parse(shlex.split(line)[1:]).command in ("card", "push")


def test_every_page_is_in_both_indexes():
    index, overview = (DOCS[0].with_name("README.md"), DOCS[0].parent.parent / "llms.txt")
    for page in DOCS:
        if page != index:
            assert f"({page.name})" in index.read_text(encoding="utf-8")
            assert f"(docs/{page.name})" in overview.read_text(encoding="utf-8")


def test_the_page_of_families_names_each_and_fields_that_it_has():
    text = DOCS[0].with_name("families.md").read_text(encoding="utf-8")
    for family in families():
        assert f"`{family['model_type']}`" in text
        (row,) = re.findall(rf"^\| `{family['model_type']}` .*$", text, flags=re.MULTILINE) or [""]
        for field in re.findall(r"`(\w+)`", row.rsplit("|", 2)[1] if row else ""):
            assert field in family["fields"], (family["model_type"], field)


def test_the_page_of_the_protocol_names_each_split_and_column():
    text = DOCS[0].with_name("protocol.md").read_text(encoding="utf-8")
    for name in (*SPLIT_NAMES, *RESULT_COLUMNS):
        assert f"`{name}`" in text, name


def test_commands_of_llms_txt_exist():
    text = (DOCS[0].parent.parent / "llms.txt").read_text(encoding="utf-8")
    listed = text.split("## Commands")[1].split("## Pages")[0]
    for name in COMMANDS:
        assert re.search(rf"\b{name}\b", listed), name
