import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("fuzz_parsers.py")
NAMES = (
    *("table_csv", "table_jsonl", "table_tsv", "arff", "frames_arff", "frames_csv", "meld", "csd"),
    *("iemocap_transcription", "iemocap_summary", "iemocap_rater", "iemocap_labels"),
    *("vectors_csv", "vectors_npz"),
)


def fuzz(name, count, folder):
    if name == "csd" and importlib.util.find_spec("h5py") is None:
        pytest.skip("h5py is not installed: no computational sequences to damage")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, str(SCRIPT), name, str(count), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=1200, check=False)
    assert done.returncode == 0, f"{name}: exit {done.returncode}\n{done.stderr[-3000:]}"
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_damaged_files_are_refused_in_words_or_read(tmp_path, name):
    outcome = fuzz(name, 10_000, tmp_path)
    assert outcome["read"] + outcome["refused"] == 10_000
    assert outcome["refused"] > 100
    assert outcome["slowest_s"] < 10
