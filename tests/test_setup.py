"""The build says in one line why there will be no native extension, and goes on without it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("variables", "line"),
    [({"MM_EMOTION_BUILD_OPS": "0"}, "MM_EMOTION_BUILD_OPS=0"), ({"CXX": "no-such-compiler"}, "no C++ compiler")],
)
def test_a_build_without_ops_says_why(variables, line):
    run = subprocess.run(
        [sys.executable, "setup.py", "--version"],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert f"building without native ops: {line}" in run.stdout
