import json
import math
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import datasets
import numpy as np
import pytest

from datasets_scripts._builder import prepare
from datasets_scripts.iemocap import Iemocap
from mm_emotion.errors import CorpusError
from mm_emotion.schema import IEMOCAP_VOTES, LABEL_SETS

IMPRO, SCRIPT = "Ses01F_impro01", "Ses02M_script01_1b"
TURNS = {
    "neutral": "Ses01F_impro01_F000",
    "tied": "Ses01F_impro01_F001",
    "excited": "Ses01F_impro01_M000",
    "happy": "Ses02M_script01_1b_F000",
    "angry": "Ses02M_script01_1b_M000",
}
COLUMNS = [
    *("utterance_id", "dialogue_id", "position", "party", "speaker", "transcript", "audio_path", "video_path"),
    *("start", "end", "split", "label", "valence", "activation", "dominance", "votes", "scenario", "gender", "session"),
]


def load(out):
    return datasets.load_dataset(str(out), cache_dir=str(Path(out).parent / "hf"))["corpus"]


def build(root, config, **options):
    """Rows and manifest by way of the class alone."""
    builder = Iemocap(config_name=config, data_dir=root, cache_dir=str(root.parent / "hf"), **options)
    rows = builder.read_rows(root)
    return rows, builder.manifest


def write_labels(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def dialogue_labels(path, **changes):
    listed = [("excited", 4, 0), ("neutral", 2, 1), ("tied", 0, 2), ("angry", 3, 0), ("happy", 0, 1)]
    splits = {"excited": "train", "neutral": "train", "tied": "train", "angry": "valid", "happy": "valid"}
    rows = [
        {"utt_id": TURNS[name], "conv6_label": label, "conv6_pos": position, "split": splits[name]}
        | changes.get(name, {})
        for name, label, position in listed
    ]
    return write_labels(path, rows)


def test_all_holds_every_column_of_every_evaluated_utterance(release, tmp_path):
    manifest = prepare(Iemocap, "all", release, tmp_path / "out")
    loaded = load(tmp_path / "out")
    assert loaded.column_names == COLUMNS
    assert loaded.features["label"].names == list(LABEL_SETS["iemocap"]["all"])
    wav = release / "Session1/sentences/wav" / IMPRO / f"{TURNS['neutral']}.wav"
    avi = release / "Session1/dialog/avi/DivX" / f"{IMPRO}.avi"
    assert loaded[0] == {
        "utterance_id": TURNS["neutral"],
        "dialogue_id": IMPRO,
        "position": 0,
        "party": 0,
        "speaker": "Ses01F",
        "transcript": "First words.",
        "audio_path": str(wav),
        "video_path": str(avi),
        "start": 1.25,
        "end": 2.5,
        "split": "session1",
        "label": 2,
        "valence": 2.5,
        "activation": 2.5,
        "dominance": 3.0,
        "votes": '{"e2": ["neu"], "e3": ["neu", "ang"]}',
        "scenario": "improvised",
        "gender": "F",
        "session": 1,
    }
    second, third, fourth, fifth = (loaded[index] for index in range(1, 5))
    # By start time, not in the summary's order (one actor's turns, then the other's); ties by id.
    assert [row["utterance_id"] for row in loaded] == [
        TURNS[n] for n in ("neutral", "excited", "tied", "happy", "angry")
    ]
    assert loaded["position"] == [0, 1, 2, 0, 1] and loaded["party"] == [0, 1, 0, 0, 1]
    assert second["transcript"] == "Second, with 'marks': here." and second["speaker"] == "Ses01M"
    assert second["audio_path"] == "" and second["video_path"] == str(avi)
    assert math.isnan(second["dominance"]) and second["valence"] == 4.0
    # The raters' own files win over the summary; a rater of the summary alone is kept.
    assert json.loads(second["votes"]) == {"e2": ["fru"], "e4": ["exc"]}
    assert loaded.features["label"].int2str(third["label"]) == "undecided"
    assert (fourth["scenario"], fourth["session"], fourth["split"]) == ("scripted", 2, "session2")
    assert fourth["video_path"] == "" and fifth["gender"] == "M" and fifth["valence"] == 1.0
    assert manifest.as_dict() == {
        "found": {"video": 3, "MOCAP_head": 1, "audio": 2, "utterances": 5, "dialogues": 2},
        "missing": {
            "session": ["Session3", "Session4", "Session5"],
            "MOCAP_rotated": list(TURNS.values()),
            "MOCAP_head": list(TURNS.values())[1:],
            "MOCAP_hand": list(TURNS.values()),
            "audio": [TURNS["tied"], TURNS["excited"], TURNS["angry"]],
            "video": [TURNS["happy"], TURNS["angry"]],
        },
        "duplicate": {},
        "unreadable": {},
        "disagreeing": {"votes of rater files and summary": [TURNS["excited"]]},
        "dropped": {
            "transcription line without an utterance id": [f"{IMPRO}.txt:2"],
            "transcribed but not evaluated": ["Ses01F_impro01_MXX0"],
        },
    }


@pytest.mark.parametrize(
    ("config", "kept", "dropped"),
    [
        ("six_way", [("neutral", "neutral"), ("excited", "excited"), ("happy", "happy"), ("angry", "angry")], ["xxx"]),
        ("four_way", [("neutral", "neutral"), ("excited", "happy"), ("happy", "happy"), ("angry", "angry")], ["xxx"]),
        ("four_way_exc", [("neutral", "neutral"), ("excited", "excited"), ("angry", "angry")], ["xxx", "hap"]),
    ],
)
def test_label_sets_keep_merge_and_drop(release, tmp_path, config, kept, dropped):
    manifest = prepare(Iemocap, config, release, tmp_path / "out")
    loaded = load(tmp_path / "out")
    labels = loaded.features["label"]
    assert labels.names == list(LABEL_SETS["iemocap"][config])
    expected = [(TURNS[turn], name) for turn, name in kept]
    assert [(row["utterance_id"], labels.int2str(row["label"])) for row in loaded] == expected
    assert [manifest.count("dropped", f"consensus {code} is not in {config}") for code in dropped] == [1] * len(dropped)


def test_six_way_dialogue_takes_labels_order_and_split_from_the_file(release, tmp_path):
    labels = dialogue_labels(tmp_path / "labels.jsonl", neutral={"conv6_label": -1})
    manifest = prepare(Iemocap, "six_way_dialogue", release, tmp_path / "out", dialogue_labels=labels)
    loaded = load(tmp_path / "out")
    said = [(r["utterance_id"], r["position"], r["party"], r["label"], r["split"]) for r in loaded]
    assert said == [
        (TURNS["excited"], 0, 0, 4, "train"),
        (TURNS["tied"], 1, 1, 0, "train"),
        (TURNS["angry"], 0, 0, 3, "validation"),
        (TURNS["happy"], 1, 1, 0, "validation"),
    ]
    assert manifest.found["utterances labelled by the dialogue labels alone"] == 1
    assert manifest.items["dropped"]["not in the dialogue labels"] == [TURNS["neutral"]]


def test_other_label_sets_take_only_the_split_from_the_file(release, tmp_path):
    rows, _ = build(release, "six_way", dialogue_labels=str(dialogue_labels(tmp_path / "labels.jsonl")))
    assert [(row["utterance_id"], row["split"]) for row in rows] == [
        (TURNS["neutral"], "train"),
        (TURNS["excited"], "train"),
        (TURNS["happy"], "validation"),
        (TURNS["angry"], "validation"),
    ]


def test_dialogue_labels_of_other_sessions_are_counted_as_missing(release, tmp_path):
    path = dialogue_labels(tmp_path / "labels.jsonl")
    row = {"utt_id": "Ses05F_impro01_F000", "conv6_label": 1, "conv6_pos": 0}
    path.write_text(path.read_text() + json.dumps(row) + "\n")
    _, manifest = build(release, "six_way_dialogue", dialogue_labels=str(path))
    assert manifest.items["missing"]["utterance of the dialogue labels"] == ["Ses05F_impro01_F000"]


def test_six_way_dialogue_without_its_file_says_what_it_is_and_why(release, tmp_path):
    for options in ({}, {"dialogue_labels": "absent.jsonl"}):
        with pytest.raises(CorpusError, match=r"conv6_label.*53 tied utterances"):
            prepare(Iemocap, "six_way_dialogue", release, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"neutral": {"conv6_label": 6}}, r"line 2: expected conv6_label from -1 to 5, or null, got '6'"),
        ({"neutral": {"conv6_label": [2]}}, r"line 2: expected conv6_label"),
        ({"neutral": {"conv6_pos": 0}}, r"line 2: expected conv6_pos as a whole number, each once"),
        ({"neutral": {"conv6_pos": None}}, r"line 2: expected conv6_pos"),
        ({"neutral": {"utt_id": TURNS["excited"]}}, r"line 2: expected each utt_id once"),
        ({"neutral": {"utt_id": 7}}, r"line 2: expected an object with utt_id"),
        ({"neutral": {"split": "dev"}}, r"line 2: expected split among train, valid"),
        ({"neutral": {"split": "test"}}, r"expected one split for dialogue Ses01F_impro01, got train and test"),
        ({"neutral": {"conv6_label": 1}}, r"expected Ses01F_impro01_F000 as neutral, as in the release, got sad"),
        ({"angry": {"split": None}, "happy": {"split": None}}, r"expected a split for dialogue Ses02M_script01_1b"),
    ],
)
def test_bad_dialogue_labels_are_refused(release, tmp_path, changes, message):
    path = dialogue_labels(tmp_path / "labels.jsonl", **changes)
    with pytest.raises(CorpusError, match=message):
        build(release, "six_way_dialogue", dialogue_labels=str(path))


@pytest.mark.parametrize("line", ["no json", "[" * 5000, "9" * 5000, "[1]"])
def test_dialogue_labels_that_are_no_objects_are_refused(release, tmp_path, line):
    path = dialogue_labels(tmp_path / "labels.jsonl")
    path.write_text(path.read_text() + line)
    with pytest.raises(CorpusError, match="line 6: expected a"):
        build(release, "six_way_dialogue", dialogue_labels=str(path))


SUMMARY = f"Session1/dialog/EmoEvaluation/{IMPRO}.txt"
SPOKEN = f"Session1/dialog/transcriptions/{IMPRO}.txt"
RATED = f"Session1/dialog/EmoEvaluation/Categorical/{IMPRO}_e2_cat.txt"


@pytest.mark.parametrize(
    ("file", "old", "new", "number", "expected"),
    [
        (SPOKEN, " [002.0000-003.0000]:", " [002.0000]:", 3, "'UTTERANCE_ID [START-END]: WORDS'"),
        (SPOKEN, "M: Mm.", "what is this", 2, "'UTTERANCE_ID [START-END]: WORDS'"),
        (SUMMARY, "[6.0000 - 7.0000]\t", "[6.0000 - 7.0000] ", 9, "'[START - END]<tab>"),
        (SUMMARY, "% [START", "C-E1:\tAnger;\t()\n% [START", 1, "'[START - END]<tab>"),
        (SUMMARY, "\texc\t", "\tyay\t", 13, "an emotion code among hap"),
        (SUMMARY, "[2.5000, 2.5000, 3.0000]", "[2.5000, high, 3.0000]", 3, "[valence, activation, dominance]"),
        (SUMMARY, "[6.0000 - 7.0000]", "[7.0000 - 6.0000]", 9, "an end after the start"),
        (SUMMARY, "\tSes01F_impro01_F001", "\tSes01F_impro02_F001", 9, "an utterance id of dialogue Ses01F_impro01"),
        (SUMMARY, "C-E2:\tHappiness;", "C-E2:\tJoy;", 10, "an emotion among Happiness"),
        (RATED, "F001 :Happiness; ()", "F001 Happiness", 2, "'UTTERANCE_ID :EMOTION; (COMMENT)'"),
        (RATED, ":Frustration;", ":Rage;", 3, "an emotion among Happiness"),
    ],
)
def test_malformed_line_names_file_line_and_what_was_expected(release, file, old, new, number, expected):
    path = release / file
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    with pytest.raises(CorpusError) as caught:
        build(release, "all")
    assert caught.value.field == f"{path}, line {number}" and caught.value.expected.startswith(expected)


def test_windows_line_ends_change_nothing(release):
    before, _ = build(release, "all")
    for path in release.rglob("Ses*.txt"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert repr(build(release, "all")[0]) == repr(before)


def test_duplicates_keep_the_first_and_are_listed(release):
    before, _ = build(release, "all")
    turn = "Ses01F_impro01_F000"
    additions = {
        SUMMARY: f"[1.2500 - 2.5000]\t{turn}\tsad\t[1.0000, 1.0000, 1.0000]\nC-E2:\tFear;\t()\n",
        SPOKEN: f"{turn} [001.2500-002.5000]: Other words.\n",
        RATED: f"{turn} :Fear; ()\n",
    }
    for file, text in additions.items():
        with (release / file).open("a") as stream:
            stream.write(text)
    rows, manifest = build(release, "all")
    assert repr(rows) == repr(before)
    assert manifest.items["duplicate"] == {
        "evaluated utterance": [f"{turn} ({IMPRO}.txt:16)"],
        "transcribed utterance": [f"{turn} ({IMPRO}.txt:6)"],
        "vote": [f"{turn} ({IMPRO}_e2_cat.txt:4)"],
    }


def test_missing_transcription_keeps_the_rows_with_empty_words(release):
    (release / SPOKEN).unlink()
    rows, manifest = build(release, "all")
    assert [row["transcript"] for row in rows] == ["", "", "", "Fifth words.", "Fourth words."]
    assert manifest.items["missing"]["transcript"] == [TURNS["neutral"], TURNS["tied"], TURNS["excited"]]


def test_missing_summary_drops_the_dialogue_and_says_so(release):
    (release / SUMMARY).unlink()
    rows, manifest = build(release, "all")
    assert {row["dialogue_id"] for row in rows} == {SCRIPT}
    assert manifest.count("dropped", "transcribed but not evaluated") == 4
    assert manifest.count("dropped", "votes on an utterance without a summary") == 3


def test_votes_come_from_the_summary_where_rater_files_are_absent(release):
    for path in (release / "Session1/dialog/EmoEvaluation/Categorical").iterdir():
        path.unlink()
    rows, manifest = build(release, "all")
    assert json.loads(rows[0]["votes"]) == {"e2": ["neu"], "e3": ["neu", "ang"]}  # not f1, the actor on herself
    assert manifest.count("missing", "rater files") == 3 and manifest.count("disagreeing") == 0


def test_times_that_disagree_are_listed_and_the_summary_wins(release):
    path = release / SPOKEN
    path.write_text(path.read_text().replace("[001.2500-", "[001.2600-"))
    rows, manifest = build(release, "all")
    assert rows[0]["start"] == 1.25
    assert manifest.items["disagreeing"]["times of transcription and summary"] == [TURNS["neutral"]]


@pytest.mark.parametrize("content", [b"", b"RIFF\x00\x00", None])
def test_unreadable_or_empty_recording_is_listed_and_its_row_kept(release, content):
    wav = release / "Session1/sentences/wav" / IMPRO / f"{TURNS['neutral']}.wav"
    header = wav.read_bytes()[:44]
    silent = header[:4] + (36).to_bytes(4, "little") + header[8:40] + bytes(4)  # a sound header, no frames
    wav.write_bytes(silent if content is None else content)
    rows, manifest = build(release, "all")
    assert rows[0]["utterance_id"] == TURNS["neutral"] and rows[0]["audio_path"] == ""
    assert manifest.items["unreadable"] == {"audio": [TURNS["neutral"]]}
    assert manifest.found["audio"] == 1


@pytest.mark.parametrize(
    ("gone", "field"),
    [
        ("Session2/dialog/EmoEvaluation", "Session2/dialog/EmoEvaluation"),
        ("Session2/dialog/transcriptions", "Session2/dialog/transcriptions"),
    ],
)
def test_missing_folder_is_an_error(release, gone, field):
    (release / gone).rename(release / "elsewhere")
    with pytest.raises(CorpusError, match=field):
        build(release, "all")


def test_folder_without_sessions_or_utterances_is_an_error(release, tmp_path):
    with pytest.raises(CorpusError, match=r"folders Session1 to Session5, got none of them"):
        prepare(Iemocap, "all", release / "Session1", tmp_path / "out")
    for path in release.rglob("Ses*.txt"):
        path.unlink()
    with pytest.raises(CorpusError, match="expected at least one utterance"):
        prepare(Iemocap, "all", release, tmp_path / "out")


def test_utterance_of_another_session_is_an_error(release):
    (release / "Session2").rename(release / "Session3")
    with pytest.raises(CorpusError, match=r"utterances of session 3, got Ses02M"):
        build(release, "all")


def test_relative_folder_gives_absolute_media_paths(release, tmp_path, monkeypatch):
    loaded = []
    for home, given in ((release.parent, release.name), (release, ".")):
        monkeypatch.chdir(home)
        out = tmp_path / f"out{len(loaded)}"
        prepare(Iemocap, "all", given, out)
        loaded.append(load(out)["audio_path"][0])
    assert loaded[0] == loaded[1] and Path(loaded[0]).is_file() and Path(loaded[0]).is_absolute()


def test_runs_as_a_module(release, tmp_path):
    source = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(source), "HOME": str(tmp_path / "home")}
    environment |= {"HF_HOME": str(tmp_path / "home/hf"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-m", "datasets_scripts.iemocap", "--data-dir", release.name]
    done = subprocess.run(
        [*command, "--out", "prepared"], cwd=release.parent, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "found utterances 4" in " ".join(done.stdout.split())
    record = json.loads((release.parent / "prepared/manifest.json").read_text())
    assert (record["corpus"], record["config"]) == ("iemocap", "six_way")
    assert not list((tmp_path / "home").rglob("*.arrow"))
    assert load(release.parent / "prepared").num_rows == 4


# With the real corpus.


@pytest.fixture(scope="module")
def corpus():
    if "MM_EMOTION_DATA" not in os.environ:
        pytest.skip("MM_EMOTION_DATA is not set: no real IEMOCAP to check against")
    return Path(os.environ["MM_EMOTION_DATA"])


@pytest.fixture(scope="module")
def reference(corpus):
    with (corpus / "iemocap/utterances.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def spoken_codes(row):
    return {rater: [IEMOCAP_VOTES[name] for name in vote["labels"]] for rater, vote in row["raters_cat"].items()}


@pytest.mark.corpus
def test_real_session_equals_the_reference_field_by_field(corpus, reference, tmp_path):
    prepare(Iemocap, "all", corpus / "raw/IEMOCAP_full_release", tmp_path / "out")
    loaded = load(tmp_path / "out")
    names = {"hap": "happy", "sad": "sad", "neu": "neutral", "ang": "angry", "exc": "excited", "fru": "frustrated"}
    names |= {"sur": "surprised", "fea": "fearful", "dis": "disgusted", "oth": "other", "xxx": "undecided"}
    kinds = {"impro": "improvised", "script": "scripted"}
    single = ("session", "start", "end")
    scores = ("valence", "activation", "dominance")
    expected = {
        row["utt_id"]: {
            **{name: row[name] for name in single},
            **{name: np.float32(row[name]) for name in scores},
            "dialogue_id": row["dialogue"],
            "transcript": row["text"],
            "label": names[row["emotion"]],
            "votes": spoken_codes(row),
            "scenario": kinds[row["kind"]],
            "gender": row["speaker"],
        }
        for row in reference
        if row["session"] == 1
    }
    labels = loaded.features["label"]
    found = {
        row["utterance_id"]: {
            **{name: row[name] for name in (*single, *scores, "dialogue_id", "transcript", "scenario", "gender")},
            "label": labels.int2str(row["label"]),
            "votes": json.loads(row["votes"]),
        }
        for row in loaded
    }
    differing = [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]
    assert len(found) == len(loaded) == 1819 and not differing
    keys = [(row["dialogue_id"], row["start"]) for row in loaded]
    assert keys == sorted(keys)


@pytest.mark.corpus
def test_real_session_counts(corpus, reference, tmp_path):
    first = [row for row in reference if row["session"] == 1]
    codes = Counter(row["emotion"] for row in first)
    expected = {
        "six_way": sum(codes[code] for code in ("hap", "sad", "neu", "ang", "exc", "fru")),
        "four_way": sum(codes[code] for code in ("hap", "exc", "sad", "neu", "ang")),
        "four_way_exc": sum(codes[code] for code in ("exc", "sad", "neu", "ang")),
        "six_way_dialogue": sum(row["conv6_label"] >= 0 for row in first),
    }
    root, path = corpus / "raw/IEMOCAP_full_release", str(corpus / "iemocap/utterances.jsonl")
    counts = {}
    for config in expected:
        options = {"dialogue_labels": path} if config == "six_way_dialogue" else {}
        builder = Iemocap(config_name=config, data_dir=root, cache_dir=str(tmp_path / "hf"), **options)
        counts[config] = len(builder.read_rows(root))
    assert counts == expected


def write_release(root, reference):
    """The release's summaries and transcriptions, rewritten from the reference rows."""
    dialogues = defaultdict(list)
    for row in reference:
        dialogues[row["session"], row["dialogue"]].append(row)
    for (session, dialogue), rows in dialogues.items():
        folder = root / f"Session{session}/dialog"
        for name in ("EmoEvaluation", "transcriptions"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        evaluated, spoken = [], []
        for row in sorted(rows, key=lambda row: row["utt_id"]):
            scores = ", ".join(f"{row[name]:.4f}" for name in ("valence", "activation", "dominance"))
            times = row["start"], row["end"]
            evaluated.append("[{:.4f} - {:.4f}]\t{}\t{}\t[{}]".format(*times, row["utt_id"], row["emotion"], scores))
            spoken.append("{} [{:08.4f}-{:08.4f}]: {}".format(row["utt_id"], *times, row["text"]))
        (folder / "EmoEvaluation" / f"{dialogue}.txt").write_text("\n".join(evaluated))
        (folder / "transcriptions" / f"{dialogue}.txt").write_text("\n".join(spoken))


@pytest.mark.corpus
def test_published_totals_of_the_five_sessions(corpus, reference, tmp_path):
    root = tmp_path / "release"
    write_release(root, reference)
    totals = {"six_way": 7380, "six_way_dialogue": 7433, "four_way": 5531, "four_way_exc": 4936, "all": 10039}
    path = str(corpus / "iemocap/utterances.jsonl")
    rows = {}
    for config in totals:
        options = {"dialogue_labels": path} if config == "six_way_dialogue" else {}
        builder = Iemocap(config_name=config, data_dir=root, cache_dir=str(tmp_path / "hf"), **options)
        rows[config] = builder.read_rows(root)
    assert {config: len(kept) for config, kept in rows.items()} == totals
    dialogue = rows["six_way_dialogue"]
    assert Counter(row["split"] for row in dialogue) == {"train": 5163, "validation": 647, "test": 1623}
    assert Counter(row["label"] for row in dialogue)["happy"] == 648
    listed = {row["utt_id"]: row for row in reference}
    names = LABEL_SETS["iemocap"]["six_way_dialogue"]
    for row in dialogue:
        published = listed[row["utterance_id"]]
        assert (row["position"], row["label"]) == (published["conv6_pos"], names[published["conv6_label"]])
