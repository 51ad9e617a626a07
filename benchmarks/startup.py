"""Starting: fresh processes that import the package, show the help and predict, beside the import of transformers.

Each is a Python of its own, start-up included, on files that were read before. Wanted: the import takes at most 1.2
times as long as that of transformers, the help 1.2 times and the prediction of a clip 4 times as long as the import.
"""

import atexit
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import soundfile
import torch
from timing import Case, Contest

from mm_emotion.commands import COMMANDS
from mm_emotion.hub.tiny import LABELS, tiny_checkpoint
from mm_emotion.pipeline import quiet_loading

ROOT = Path(__file__).parent.parent
SAMPLING_RATE = 16000
CLIP_SECONDS = 10.0
HELP, PREDICT = "mm-emotion --help", "mm-emotion predict"
PROCESSES = {
    "import transformers": ("-c", "from transformers import AutoModel, PreTrainedModel"),
    "import mm_emotion": ("-c", "import mm_emotion"),
    HELP: ("-m", "mm_emotion", "--help"),
    PREDICT: ("-m", "mm_emotion", "predict", "--model", "system", "clip.wav"),
}


def cases(device: str) -> Iterator[Case]:
    """One case, where the device is the CPU: no contender touches another."""
    if device == "cpu":
        yield case()


def case(seconds: float = CLIP_SECONDS) -> Case:
    """The fresh processes; the last predicts a clip that lasts so many seconds."""
    return Case("startup", f"clip of {seconds:g} s", "fresh process", partial(contest, seconds), dtype="")


def contest(seconds: float) -> Contest:
    """The processes in a folder of their own, which holds a small random system that hears, and a clip of noise."""
    folder = Path(mkdtemp(prefix="startup-"))
    atexit.register(shutil.rmtree, folder)
    quiet_loading()
    tiny_checkpoint("audio_dense", folder / "system")
    noise = np.random.default_rng(0).normal(0, 0.1, round(seconds * SAMPLING_RATE))
    soundfile.write(folder / "clip.wav", noise, SAMPLING_RATE)
    return Contest({name: partial(fresh_process, folder, words) for name, words in PROCESSES.items()}, check)


def fresh_process(folder: Path, words: tuple[str, ...]) -> str:
    """What a new Python with this checkout prints; raises CalledProcessError where it fails."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    own = {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(torch.get_num_threads())}
    own["PYTHONDONTWRITEBYTECODE"] = ""  # as in an installed package: compiled once
    command = [sys.executable, *words]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | own, stdout=subprocess.PIPE, text=True, encoding="utf-8", check=True
    )
    return done.stdout


def check(results: dict[str, object]) -> None:
    """The help names every command, and a prediction is rows that end in a label and its score."""
    missing = [name for name in COMMANDS if name not in results[HELP]]
    assert not missing, f"{HELP}: {', '.join(missing)} not in it"
    rows = [line.split()[-2:] for line in results[PREDICT].splitlines()]
    assert rows, f"{PREDICT}: no row"
    for label, score in rows:
        assert label in LABELS and 0 < float(score) <= 1, f"{PREDICT}: no label and score but {label} {score}"
