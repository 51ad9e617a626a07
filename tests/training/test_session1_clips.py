"""From pictures, words and sound of real utterances to a trained network that reads all three."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mm_emotion.data.splits import resolve_split
from mm_emotion.pipeline import load_system
from mm_emotion.training.recipe import load_recipe
from mm_emotion.training.reproduction import open_corpus_of, run_seed

pytestmark = pytest.mark.corpus
SCRIPT = Path(__file__).parent / "session1_clips.py"
ARRAYS = Path("iemocap") / "session1_129clips_multimodal.npz"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    root = os.environ.get("MM_EMOTION_DATA")
    if root is None or not (Path(root) / ARRAYS).is_file():
        pytest.skip("MM_EMOTION_DATA holds no iemocap clips")
    out = tmp_path_factory.mktemp("clips") / "prepared"
    subprocess.run([sys.executable, str(SCRIPT), root, str(out)], check=True)
    return out


@pytest.mark.parametrize(("name", "reads"), [("video", {"visual"}), ("joint", {"input_ids", "audio", "visual"})])
def test_clips_train_a_network_by_dialogue_folds(prepared, tmp_path, name, reads):
    recipe = load_recipe(f"ours/iemocap_clips_{name}", ["training.epochs=1"])
    corpus = open_corpus_of(recipe, prepared)
    split = resolve_split(corpus, recipe.corpus.split)
    outcome = run_seed(recipe, corpus, split, seed=0, out=tmp_path, progress_bar=False)
    assert len(corpus) == 129
    logits = outcome.predictions["test"].logits
    assert logits.shape[1] == 11 and np.isfinite(logits).all() and logits.std(axis=0).max() > 0
    assert any("2 shared speakers" in note for note in outcome.notes)
    model, processor = load_system(outcome.model_folder)
    assert set(model.input_shapes()) == reads
    clip = processor.utterance(corpus[0], ["visual"])["visual"]
    assert clip.shape == (1, 16, 32, 56)
    assert 0.02 < clip.std() < 0.5
