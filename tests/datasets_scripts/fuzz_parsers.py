"""One parser on many damaged copies of a good file: `fuzz_parsers.py NAME COUNT FOLDER` prints what came of them.

Run apart from the tests, under a limit on memory and on the seconds of each file, so that a crash is seen as one.
"""

import faulthandler
import io
import json
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from datasets_scripts._arff import read_arff
from datasets_scripts._bclstm import read_arrays, table_rows
from datasets_scripts._builder import Manifest
from datasets_scripts._csd import Sequence, words_of
from datasets_scripts._frames import read_frames
from datasets_scripts._iemocap_release import read_dialogue_labels, read_raters, read_summary, read_transcription
from datasets_scripts._table_files import read_table
from datasets_scripts.meld import Meld, MeldConfig
from datasets_scripts.table import Table, TableConfig
from mm_emotion.errors import CorpusError

MEMORY = 1 << 30
"""Bytes that the process may take beside what it has when the first file is read."""
SECONDS = 10

TABLE = b"""utterance_id,dialogue_id,speaker,transcript,start,end,label,split
a,d,x,"well, then",0.5,1.25,happy,train
b,d,y,no,1.5,2,sad,dev
c,e,x,"so ""what"" then",,,happy,test
"""
ROWS = b"""{"utterance_id": 1, "transcript": "well", "start": 0.5, "label": "happy", "speaker": null}
{"utterance_id": "b", "transcript": "no \\u00e9", "start": 1e1, "label": "sad", "split": "dev"}
"""
ARFF = b"""% made up
@relation 'x y'
@attribute name string
@attribute frameTime numeric
@attribute 'Gold Standard' real
@attribute class {a, b}
@data
'it\\'s',0,1.5,a
"x, y",0.04,?,b
z,0.08,-1e-3,a
"""
FRAMES_ARFF = b"""@relation x
@attribute name string
@attribute frameTime numeric
@attribute GoldStandard real
@data
'x, 1',0,1.5
'x, 1',0.04,?
'x, 1',0.08,-1e-3
"""
FRAMES = b"""name;timestamp;arousal;valence;liking
'Train_01';0.000000;0.5;-0.25;0
'Train_01';0.100000;0.5;-0.25;0
'Train_01';0.200000;0.5;?;0
"""
MELD = b"""Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime
1,"Well, hello.",Ada,joy,positive,0,0,1,2,"00:00:01,500","00:00:02,000"
2,No.,Bea,anger,negative,0,2,1,2,"00:00:03,000","00:00:02,000"
"""
SPOKEN = b"""Ses01F_impro01_F000 [001.2500-002.5000]: First words.
M: Mm.
Ses01F_impro01_M000 [002.0000-003.0000]: Second, with 'marks': here.
"""
SUMMARY = b"""% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[1.2500 - 2.5000]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 3.0000]
C-E2:\tNeutral;\t()
C-E3:\tNeutral; Anger;\t(made up)
A-E3:\tval 3; act 2; dom  2;\t()

[2.0000 - 3.0000]\tSes01F_impro01_M000\texc\t[4.0000, 4.0000, nan]
C-E4:\tExcited;\t()
"""
RATER = b"""Ses01F_impro01_F000 :Neutral state; :Anger; (made up)
Ses01F_impro01_M000 :Frustration; ()
"""
LISTED = b"""{"utt_id": "Ses01F_impro01_F000", "conv6_label": 2, "conv6_pos": 0, "split": "train"}
{"utt_id": "Ses01F_impro01_M000", "conv6_label": -1, "conv6_pos": 1, "split": "train"}
"""
VECTORS = b"""utt_id,video_id,segment,sentiment,split,interval_s,label_binary,text_cnn100,audio_opensmile73
v_1,v,1,-1.5,train,0.5 1,0,1 2 3,1 -inf
v_2,v,2,2,test,1 2.5,1,4 5 6,
"""


def _good_npz() -> bytes:
    held = io.BytesIO()
    np.savez(
        held,
        utt_id=["v_1", "v_2"],
        video_id=["v", "v"],
        segment=[1, 2],
        sentiment=[-1.5, 2],
        text_cnn100=np.ones((2, 3), np.float32),
    )
    return held.getvalue()


def _csd(path: Path) -> None:
    with Sequence(path, Manifest()) as sequence:
        sequence.dimensions()
        for name in sequence.ids():
            entry = sequence.entry(name)
            if entry is not None and entry[1].dtype.kind in "SO":
                try:
                    list(words_of(entry[1]))
                except (ValueError, UnicodeDecodeError):
                    continue


def _rows_of(builder: type, config: object) -> Callable[[Path], None]:
    """Reading of a builder without what `datasets` does around it."""

    def read(path: Path) -> None:
        instance = object.__new__(builder)
        instance.manifest, instance.config = Manifest(), config
        if builder is Table:
            instance._read(path)
        else:
            instance.read_rows(path.parent)

    return read


def _own(kind: str) -> tuple[Callable[[Path], None], bytes]:
    return _rows_of(Table, TableConfig(name="own")), {"csv": TABLE, "jsonl": ROWS}[kind]


PARSERS: dict[str, tuple[str, Callable[[Path], object], bytes]] = {
    "table_csv": ("my.csv", *_own("csv")),
    "table_jsonl": ("my.jsonl", *_own("jsonl")),
    "table_tsv": ("my.tsv", lambda path: list(read_table(path)), TABLE.replace(b",", b"\t")),
    "arff": ("x.arff", lambda path: list(read_arff(path)), ARFF),
    "frames_arff": ("x.arff", read_frames, FRAMES_ARFF),
    "frames_csv": ("x.csv", read_frames, FRAMES),
    "meld": ("train_sent_emo.csv", _rows_of(Meld, MeldConfig(name="seven_way")), MELD),
    "iemocap_transcription": ("t.txt", lambda path: read_transcription(path, {}, Manifest()), SPOKEN),
    "iemocap_summary": ("Ses01F_impro01.txt", lambda path: read_summary(path, Manifest()), SUMMARY),
    "iemocap_rater": ("Ses01F_impro01_e2_cat.txt", lambda path: read_raters(path.parent, Manifest()), RATER),
    "iemocap_labels": ("labels.jsonl", read_dialogue_labels, LISTED),
    "csd": ("x.csd", _csd, b""),
    "vectors_csv": ("x.csv", lambda path: table_rows(path, read_arrays(path), Manifest()), VECTORS),
    "vectors_npz": ("x.npz", lambda path: table_rows(path, read_arrays(path), Manifest()), _good_npz()),
}
"""Name -> file name, what reads it, and a good file."""

_TOKENS = (b",", b";", b"\t", b'"', b"'", b"\\", b"\n", b"\r", b"{", b"}", b"[", b"]", b":", b"%", b"?", b"nan", b"inf")
_TOKENS += (b"-1", b"1e999", b"9" * 400, b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", "é١".encode(), b"@data\n", b"[" * 3000)


def good_csd(folder: Path) -> bytes:
    """A small computational sequence with numbers, words and metadata."""
    import h5py

    path = folder / "good.csd"
    with h5py.File(path, "w") as file:
        group = file.create_group("x")
        for name in ("a", "b"):
            entry = group.create_group(f"data/{name}")
            entry["intervals"] = np.array([[0, 1], [1, 2], [2, 3]], np.float32)
            entry["features"] = np.arange(6, dtype=np.float32).reshape(3, 2)
        entry = group.create_group("data/w")
        entry["intervals"], entry["features"] = np.array([[0, 1]], np.float32), np.array([[b"sp", b"x"]])
        group.create_group("metadata")["dimension names"] = np.array([b'["p", "q"]'], dtype=object)
    return path.read_bytes()


def damaged(data: bytes, chance: random.Random) -> bytes:
    """One or two damages: bytes changed, cut, doubled, moved; marks put in; the end lost."""
    for _ in range(chance.randint(1, 2)):
        at, length = chance.randrange(len(data) + 1), chance.choice((1, 1, 2, 4, 8, 40))
        kind = chance.randrange(6)
        if kind == 0:
            data = data[:at] + chance.randbytes(length) + data[at + length :]
        elif kind == 1:
            data = data[:at] + data[at + length :]
        elif kind == 2:
            data = data[: at + length] + data[at:]
        elif kind == 3:
            data = data[:at] + chance.choice(_TOKENS) + data[at:]
        elif kind == 4 and chance.random() < 0.2:
            data = data[:at]
        else:
            other = chance.randrange(len(data) + 1)
            data = data[:at] + data[other : other + length] + data[at + length :]
    return data


def run(name: str, count: int, folder: Path) -> dict:
    """Counts of what came of `count` damaged files; anything but a CorpusError ends it, with the file left behind."""
    file, read, good = PARSERS[name]
    good = good or good_csd(folder)
    path = folder / "fuzz" / file
    path.parent.mkdir()
    path.write_bytes(good)
    read(path)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
    outcomes, slowest, began = Counter(), 0.0, time.perf_counter()
    for number in range(count):
        path.write_bytes(damaged(good, random.Random(number)))
        # A library that never comes back is not stopped by a signal.
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        start = time.perf_counter()
        try:
            read(path)
            outcomes["read"] += 1
        except CorpusError:
            outcomes["refused"] += 1
        finally:
            faulthandler.cancel_dump_traceback_later()
        slowest = max(slowest, time.perf_counter() - start)
    return {"parser": name, **outcomes, "slowest_s": round(slowest, 3), "s": round(time.perf_counter() - began, 1)}


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))))
