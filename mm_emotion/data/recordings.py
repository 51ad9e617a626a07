"""Acted speech whose file names say all: RAVDESS and EmoDB as rows of the data contract.

RAVDESS (Livingstone and Russo, 2018): seven numbers, of which the third is the emotion, the fifth the sentence and the
last the actor, as in 03-01-05-01-02-01-12.wav. EmoDB (Burkhardt et al., 2005): speaker, sentence, letter of the German
word for the emotion, version, as in 03a01Fa.wav. There are no dialogues: what a speaker says with one sentence stands
under one `dialogue_id`, in the order of the file names, which means nothing. Transcripts are left empty.
"""

import os
import re
import wave
from itertools import groupby
from pathlib import Path

from datasets import ClassLabel, Dataset, Features

from mm_emotion.data.rows import CONTRACT_COLUMNS, check_rows
from mm_emotion.errors import CorpusError
from mm_emotion.schema import LABEL_SETS

_NAMES = {
    "ravdess": re.compile(r"03-0[12]-(?P<emotion>0[1-8])-0[12]-(?P<sentence>0[12])-0[12]-(?P<speaker>\d\d)"),
    "emodb": re.compile(r"(?P<speaker>\d\d)(?P<sentence>[ab]\d\d)(?P<emotion>[WLEAFTN])[a-z]?"),
}
_EMODB = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}
RECORDINGS = tuple(_NAMES)
"""The corpora that are read in this way."""


def load_recordings(folder: str | os.PathLike, *, corpus: str, label_set: str) -> Dataset:
    """All wav files below `folder` as checked rows of the data contract, labelled by their names.

    Raises CorpusError for an unknown corpus or label set, for no files, for a name that is not the corpus's
    own, and for a file that is no wav.
    """
    if corpus not in _NAMES:
        raise CorpusError("corpus", f"one of {', '.join(RECORDINGS)}", repr(corpus))
    if label_set not in LABEL_SETS[corpus]:
        raise CorpusError("label_set", f"one of {', '.join(LABEL_SETS[corpus])} for {corpus}", repr(label_set))
    names = LABEL_SETS[corpus][label_set]
    rows = [_row(path, corpus, names) for path in sorted(Path(folder).rglob("*.wav"))]
    if not rows:
        raise CorpusError(str(folder), f"wav files of {corpus}", "none")
    rows.sort(key=lambda row: (row["dialogue_id"], row["utterance_id"]))
    for _, group in groupby(rows, key=lambda row: row["dialogue_id"]):
        for position, row in enumerate(group):
            row["position"] = position
    columns = {**CONTRACT_COLUMNS, "label": ClassLabel(names=list(names))}
    table = {name: [row[name] for row in rows] for name in columns}
    dataset = Dataset.from_dict(table, features=Features(columns))
    check_rows(dataset)
    return dataset


def _row(path: Path, corpus: str, names: tuple[str, ...]) -> dict:
    found = _NAMES[corpus].fullmatch(path.stem)
    if found is None:
        example = {"ravdess": "03-01-05-01-02-01-12.wav", "emodb": "03a01Fa.wav"}[corpus]
        raise CorpusError(str(path), f"a name of {corpus} such as {example}", path.name)
    code = found["emotion"]
    return {
        "utterance_id": path.stem,
        "dialogue_id": f"{found['speaker']}_{found['sentence']}",
        "party": 0,
        "speaker": found["speaker"],
        "transcript": "",
        "audio_path": str(path.resolve()),
        "video_path": "",
        "start": 0.0,
        "end": _seconds(path),
        "split": "all",
        "label": names.index(_EMODB[code]) if corpus == "emodb" else int(code) - 1,
    }


def _seconds(path: Path) -> float:
    try:
        with wave.open(str(path), "rb") as file:
            return file.getnframes() / file.getframerate()
    except (wave.Error, EOFError) as error:
        raise CorpusError(str(path), "a readable wav file", str(error) or "an empty one") from error
