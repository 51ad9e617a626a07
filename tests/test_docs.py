"""Every Python snippet of the documentation runs, every YAML one is a recipe's, and every link leads somewhere."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from mm_emotion.__main__ import parse
from mm_emotion.features.column import ColumnFeature

DOCS = sorted((Path(__file__).resolve().parent.parent / "docs").glob("*.md"))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("page", [page for page in DOCS if blocks(page, "python")], ids=lambda page: page.stem)
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
