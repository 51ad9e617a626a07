"""A sequence of the size of CMU-MOSEI's is read a video at a time: memory does not grow with the file."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from mm_emotion.data.corpus import load_prepared
from mm_emotion.schema import AFFECT_DIMENSIONS

h5py = pytest.importorskip("h5py", reason="h5py is not installed: no computational sequences to read")

VIDEOS, SECONDS, RATE, WIDTH = 1000, 100, 100, 74
SEGMENTS, SEGMENT = 2, 8.0
"""Of a video, and their length in s: what is written is a sixth of what is read."""

PREPARE = """
import resource, sys
from datasets_scripts._builder import prepare
from datasets_scripts.cmu_mosei import CmuMosei
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
prepare(CmuMosei, None, sys.argv[1], sys.argv[2])
print(before / 2**10, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)
"""


def write_sequence(path, rows_of):
    """One video at a time."""
    with h5py.File(path, "w") as file:
        group = file.create_group(path.stem)
        for video in range(VIDEOS):
            intervals, features = rows_of(video)
            group[f"data/v{video:04d}/intervals"] = intervals
            group[f"data/v{video:04d}/features"] = features
        names = json.dumps(AFFECT_DIMENSIONS["cmu_mosei"])
        group.create_group("metadata")["dimension names"] = np.array([names.encode()], dtype=object)


@pytest.mark.slow
def test_a_file_of_three_gigabytes_takes_little_memory(tmp_path):
    if shutil.disk_usage(tmp_path).free < 8e9:
        pytest.skip("less than 8 GB of disk")
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    ticks = np.arange(SECONDS * RATE) / RATE
    frames = np.stack([ticks, ticks + 1 / RATE], 1)
    noise = np.random.default_rng(0).normal(size=(len(ticks), WIDTH)).astype(np.float32)
    starts = np.arange(SEGMENTS) * (SECONDS / SEGMENTS)
    segments = np.stack([starts, starts + SEGMENT], 1)
    try:
        write_sequence(raw / "CMU_MOSEI_COVAREP.csd", lambda video: (frames, noise + np.float32(video)))
        labels = np.zeros((SEGMENTS, len(AFFECT_DIMENSIONS["cmu_mosei"])), np.float32)
        write_sequence(raw / "CMU_MOSEI_Labels.csd", lambda video: (segments, labels + video % 3))
        size = (raw / "CMU_MOSEI_COVAREP.csd").stat().st_size
        assert size > 3e9
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-c", PREPARE, str(raw), str(out)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=1800, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        before, peak = map(float, done.stdout.split())
        print(f"{size / 1e9:.2f} GB: {before:.0f} MB before, {peak:.0f} MB at the peak")
        assert peak < 1000 and peak - before < 300
        rows = load_prepared(out)
        assert len(rows) == VIDEOS * SEGMENTS
        last = np.asarray(rows[-1]["audio"])
        assert last.shape == (SEGMENT * RATE, WIDTH)
        expected = noise[int(starts[-1] * RATE) :][: len(last)] + np.float32(VIDEOS - 1)
        np.testing.assert_array_equal(last.astype(np.float32), expected)
    finally:
        shutil.rmtree(raw)
        shutil.rmtree(out, ignore_errors=True)
