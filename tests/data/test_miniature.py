import hashlib
import re
import sys
import wave
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mm_emotion.data.miniature import write_miniature
from mm_emotion.errors import CorpusError, MissingExtraError

CODES = {
    "Happiness": "hap",
    "Excited": "exc",
    "Frustration": "fru",
    "Anger": "ang",
    "Neutral": "neu",
    "Neutral state": "neu",
    "Sadness": "sad",
    "Surprise": "sur",
}
TURN = re.compile(r"\[(\d+\.\d{4}) - (\d+\.\d{4})\]\t(\w+)\t(\w{3})\t\[(\d\.\d{4}), (\d\.\d{4}), (\d\.\d{4})\]")
SMALL = {"dialogues": 6, "utterances": (7, 8)}


def digest(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            total.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return write_miniature(tmp_path_factory.mktemp("miniature") / "corpus", **SMALL)


def dialogue_names(corpus: Path) -> list[Path]:
    return sorted(path for path in corpus.glob("Session*/dialog/EmoEvaluation/*.txt"))


def turns(summary: Path) -> dict[str, dict]:
    """Utterance id -> what the summary says, parsed apart from the package."""
    found = {}
    for block in summary.read_text().strip().split("\n\n")[1:]:
        head, *lines = block.splitlines()
        start, end, name, emotion, *affect = TURN.fullmatch(head).groups()
        votes = {line[2:4]: line.split("\t")[1].strip(";").split("; ") for line in lines if line.startswith("C-")}
        ratings = {
            line[2:4]: [int(n) for n in re.search(r"val (\d); act (\d); dom  (\d);", line).groups()]
            for line in lines
            if line.startswith("A-")
        }
        times = (float(start), float(end))
        affect = [float(value) for value in affect]
        found[name] = {"times": times, "emotion": emotion, "affect": affect, "votes": votes, "ratings": ratings}
    return found


def test_equal_arguments_give_equal_files_and_another_seed_others(tmp_path, corpus):
    assert digest(write_miniature(tmp_path / "again", **SMALL)) == digest(corpus)
    assert digest(write_miniature(tmp_path / "other", seed=1, **SMALL)) != digest(corpus)


def test_each_session_and_utterance_has_its_files(corpus):
    assert [path.name for path in sorted(corpus.iterdir())] == ["MINIATURE.txt", *(f"Session{n}" for n in range(1, 6))]
    for summary in dialogue_names(corpus):
        session, dialogue = summary.parents[2], summary.stem
        names = set(turns(summary))
        assert 7 <= len(names) <= 8
        assert names == {path.stem for path in (session / "sentences" / "wav" / dialogue).iterdir()}
        for kind in ("MOCAP_rotated", "MOCAP_head", "MOCAP_hand"):
            assert names == {path.stem for path in (session / "sentences" / kind / dialogue).iterdir()}
        assert (session / "dialog" / "avi" / "DivX" / f"{dialogue}.avi").is_file()


def test_summaries_agree_with_votes_ratings_and_rater_files(corpus):
    emotions = Counter()
    for summary in dialogue_names(corpus):
        found = turns(summary)
        assert list(found) == sorted(found), "F's turns come before M's"
        for name, turn in found.items():
            emotions[turn["emotion"]] += 1
            votes = Counter(CODES[label] for labels in turn["votes"].values() for label in labels)
            most = [code for code, count in votes.items() if count > 1]
            assert turn["emotion"] == (most[0] if most else "xxx"), name
            np.testing.assert_allclose(turn["affect"], np.mean(list(turn["ratings"].values()), axis=0))
        for rater in ("e1", "e2", "e4"):
            path = summary.parent / "Categorical" / f"{summary.stem}_{rater}_cat.txt"
            for line, (name, turn) in zip(path.read_text().splitlines(), found.items(), strict=True):
                labels = re.fullmatch(rf"{name} ((?::[^;]+; )+)\(\)", line)[1]
                given = [CODES[label] for label in re.findall(r":([^;]+);", labels)]
                assert given == [CODES[label] for label in turn["votes"][rater.upper()]]
        for rater in ("e1", "e2"):
            path = summary.parent / "Attribute" / f"{summary.stem}_{rater}_atr.txt"
            for line, (name, turn) in zip(path.read_text().splitlines(), found.items(), strict=True):
                act, val, dom = re.fullmatch(rf"{name} :act (\d); :val (\d); :dom (\d); \(.*\)", line).groups()
                assert [6 - int(val), 6 - int(act), int(dom)] == turn["ratings"][rater.upper()]
    assert len(emotions) > 4


def test_transcriptions_follow_time_and_hold_lines_without_an_id(corpus):
    for summary in dialogue_names(corpus):
        found = turns(summary)
        lines = (summary.parents[1] / "transcriptions" / summary.name).read_text().splitlines()
        spoken = [re.fullmatch(r"(Ses\w+) \[(\d{3}\.\d{4})-(\d{3}\.\d{4})\]: (\S.*)", line) for line in lines]
        assert any(re.fullmatch(r"[FM]: \S+", line) for line in lines)
        spoken = [match for match in spoken if match]
        assert {match[1]: (float(match[2]), float(match[3])) for match in spoken} == {
            name: turn["times"] for name, turn in found.items()
        }
        starts = [float(match[2]) for match in spoken]
        assert starts == sorted(starts)


def test_recordings_are_16_khz_mono_and_last_from_start_to_end(corpus):
    for summary in dialogue_names(corpus):
        for name, turn in turns(summary).items():
            path = summary.parents[2] / "sentences" / "wav" / summary.stem / f"{name}.wav"
            with wave.open(str(path)) as file:
                assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
                start, end = turn["times"]
                assert file.getnframes() / 16000 == pytest.approx(end - start, abs=1e-9)


def test_marker_files_have_the_columns_of_the_release_inside_the_utterance(corpus):
    summary = dialogue_names(corpus)[0]
    for kind, width in (("MOCAP_rotated", 165), ("MOCAP_hand", 18), ("MOCAP_head", 6)):
        for name, turn in turns(summary).items():
            path = summary.parents[2] / "sentences" / kind / summary.stem / f"{name}.txt"
            names, units, *rows = path.read_text().splitlines()
            assert names.startswith("Frame# Time ")
            assert len(units.split(" ")) == width
            table = np.array([[float(cell) for cell in row.split(" ")] for row in rows])
            assert table.shape[1] == 2 + width
            assert np.isfinite(table).all()
            assert (table[:, 1] >= turn["times"][0] - 1e-6).all()
            assert (table[:, 1] < turn["times"][1]).all()
            assert (np.diff(table[:, 0]) == 1).all()


def test_the_video_lasts_as_long_as_the_dialogue(corpus):
    av = pytest.importorskip("av")
    summary = dialogue_names(corpus)[0]
    path = summary.parents[1] / "avi" / "DivX" / f"{summary.stem}.avi"
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    assert frames[0].shape == (48, 64)
    assert len(frames) / 5 >= max(turn["times"][1] for turn in turns(summary).values())
    assert np.std(frames, axis=0).max() > 20, "the mouths move"


def test_without_video_and_markers_nothing_of_them_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    plain = write_miniature(tmp_path / "plain", dialogues=1, utterances=(1, 1), video=False, mocap=False)
    assert not list(plain.rglob("avi")) and not list(plain.rglob("MOCAP*"))
    with pytest.raises(MissingExtraError, match="video"):
        write_miniature(tmp_path / "with", dialogues=1, utterances=(1, 1))
    assert [path.name for path in tmp_path.iterdir()] == ["plain"]


def test_only_a_new_empty_or_own_folder_is_written(tmp_path):
    (tmp_path / "mine").mkdir()
    for name in ("MINIATURE.txt", "thesis.txt"):
        (tmp_path / "mine" / name).write_text("years of work")
    for path in (tmp_path / "mine", tmp_path / "mine" / "thesis.txt"):
        with pytest.raises(CorpusError, match="other content"):
            write_miniature(path, dialogues=1)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    first = write_miniature(tmp_path / "empty", dialogues=2, utterances=(1, 1), video=False)
    second = write_miniature(tmp_path / "empty", dialogues=1, utterances=(1, 1), video=False)
    assert first == second
    assert [path.name for path in sorted(second.iterdir())] == ["MINIATURE.txt", "Session1"]


@pytest.mark.parametrize("sizes", [{"dialogues": 0}, {"utterances": (0, 3)}, {"utterances": (4, 3)}])
def test_impossible_sizes_are_refused(tmp_path, sizes):
    with pytest.raises(CorpusError, match=next(iter(sizes))):
        write_miniature(tmp_path / "corpus", **sizes)


def test_the_corpus_builder_reads_it(tmp_path, corpus):
    iemocap = pytest.importorskip("datasets_scripts.iemocap")
    builder = iemocap.Iemocap(config_name="six_way", data_dir=str(corpus), cache_dir=str(tmp_path))
    rows = builder.read_rows(corpus)
    expected = {name: turn for summary in dialogue_names(corpus) for name, turn in turns(summary).items()}
    assert {row["utterance_id"] for row in rows} == {n for n, turn in expected.items() if turn["emotion"] != "xxx"}
    for row in rows:
        turn = expected[row["utterance_id"]]
        assert (row["start"], row["end"]) == turn["times"]
        assert row["label"].startswith({"exc": "exc", "fru": "fru"}.get(turn["emotion"], turn["emotion"]))
        assert Path(row["audio_path"]).is_file()
        assert Path(row["video_path"]).is_file()
