"""The README's quick start runs, its commands parse, and its links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

from mm_emotion.__main__ import _parser
from mm_emotion.training.recipe import load_recipe

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_quick_start_runs(system):
    code = "".join(blocks("python"))
    assert code.count('"build/demo/model"') == 3
    code = code.replace("build/demo/model", str(system))
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.split()) == 4
    assert set(result.stdout.split()) <= {"happy", "sad", "neutral", "angry", "excited", "frustrated"}


def test_the_commands_name_recipes_and_targets_that_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for line in "".join(blocks("bash")).splitlines():
        words = line.split("#")[0].split()
        if words[:1] == ["make"]:
            assert f"\n{words[1]}:" in makefile
        elif words[:2] == ["accelerate", "launch"]:
            _parser().parse_args(["train", *words[3:]])
        elif words[:1] == ["mm-emotion"] and words[1] != "prepare":
            options = _parser().parse_args(words[1:])
            if "recipe" in options:
                load_recipe(options.recipe)


def test_links_lead_to_files():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_it_fits_one_screen_or_two():
    assert len(README.splitlines()) < 110
