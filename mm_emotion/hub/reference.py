"""Reference checkpoints: names that stand for a recipe, and the rule that says which of its seeds is published."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mm_emotion.atomic import replace_folder
from mm_emotion.errors import RecipeError, nearest
from mm_emotion.hub.card import write_card
from mm_emotion.hub.system import SEEDS_FILE
from mm_emotion.training.evaluation import write_results

REFERENCES = {
    "iemocap-joint": "ours/iemocap_joint",
    "iemocap-text-cnn": "thesis/iemocap_text_cnn",
    "iemocap-bc-lstm": "bc_lstm/iemocap_bc_lstm_text",
    "iemocap-bidialogue-rnn-att": "dialogue_rnn/iemocap_bidialogue_rnn_att_text",
    "iemocap-icon": "sebastian/iemocap_icon_text",
    "meld-dialogue-rnn": "ours/meld_dialogue_rnn_text",
    "mosi-early-fusion": "ours/mosi_early_text_audio_visual",
    "ravdess-functionals": "ours/ravdess_functionals",
    "miniature-dialogue": "demo/miniature_dialogue",
}
"""Name of a checkpoint -> its recipe; the last is of the generated corpus."""

CHIEF = ("weighted_f1", "mean_absolute_error")
"""The metric that ranks the seeds on validation: the first of these that was recorded."""


def recipe_named(checkpoint: str) -> str:
    """The recipe of a reference checkpoint; raises RecipeError for an unknown name."""
    if checkpoint not in REFERENCES:
        hint = nearest(checkpoint, REFERENCES)
        raise RecipeError("--checkpoint", f"one of {', '.join(REFERENCES)}", repr(checkpoint), hint)
    return REFERENCES[checkpoint]


def published_seed(rows: Iterable[Mapping[str, object]]) -> int:
    """The seed whose validation score is the median of all seeds' (of an even number the lower one of the middle).

    Neither the best seed nor the test part has a say: the figures of the folder are those to expect. Raises RecipeError
    when no seed has a validation score.
    """
    rows = [row for row in rows if row["fold"] == "validation"]
    metric = next((name for name in CHIEF if any(row["metric"] == name for row in rows)), None)
    if metric is None:
        raise RecipeError("results", f"a validation score, {' or '.join(CHIEF)}, of a seed", "none")
    ranked = sorted((float(row["value"]), int(row["seed"])) for row in rows if row["metric"] == metric)
    return ranked[(len(ranked) - 1) // 2][1]


def assemble_reference(folders: Mapping[int, Path], rows: Sequence[Mapping[str, object]], out: Path) -> Path:
    """Write the folder of a checkpoint, ready to push: the published seed's system, all seeds' results, and the card.

    `folders` maps a seed to the folder of its saved system, `rows` are the results of all seeds.
    """
    out = Path(out)
    with replace_folder(out) as temporary:
        for path in sorted(Path(folders[published_seed(rows)]).iterdir()):
            copy = shutil.copytree if path.is_dir() else shutil.copyfile
            copy(path, temporary / path.name)
        write_results(temporary / SEEDS_FILE, rows)
        write_card(temporary, str(out))
    return out
