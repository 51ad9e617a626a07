import json
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path

import datasets
import pytest

from datasets_scripts import _builder
from datasets_scripts._builder import UTTERANCE_FEATURES, CorpusBuilder, Manifest, main, number_dialogues, prepare
from mm_emotion.errors import CorpusError


@dataclass
class ToyConfig(datasets.BuilderConfig):
    version: str = "1.2.0"
    extra: str = field(default="", metadata={"help": "a file of more names", "why": "names differ", "file": True})


class Toy(CorpusBuilder):
    """Names, one a line."""

    BUILDER_CONFIG_CLASS = ToyConfig
    DEFAULT_CONFIG_NAME = "plain"
    BUILDER_CONFIGS = [ToyConfig(name="plain", description="As they are."), ToyConfig(name="loud")]  # noqa: RUF012

    def _info(self):
        label = datasets.ClassLabel(names=["even", "odd"])
        return datasets.DatasetInfo(features=datasets.Features({**UTTERANCE_FEATURES, "label": label}))

    def read_rows(self, root):
        lines = _builder.read_lines(root / "names.txt")
        if self.config.extra:
            lines += _builder.read_lines(Path(self.config.extra))
        for number, line in lines:
            if line == "bad":
                raise CorpusError(f"names.txt, line {number}", "a good name", line)
        blank = {name: "" for name, kind in UTTERANCE_FEATURES.items() if kind.dtype == "string"}
        rows = [
            {**blank, "utterance_id": name, "dialogue_id": "d", "speaker": name[0], "start": float(number), "end": 0.0}
            | {"split": "train", "label": number % 2}
            for number, name in lines
        ]
        return number_dialogues(rows, lambda row: (row["start"],))


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "names.txt").write_text("ada\nbea\nabe\n")
    return folder


def load(out, cache):
    return datasets.load_dataset(str(out), cache_dir=str(cache))["corpus"]


def test_manifest_lists_every_item_in_a_short_table():
    manifest = Manifest()
    manifest.found["utterances"] = 12
    for number in range(5):
        manifest.note("missing", "audio", f"u{number}")
    manifest.note("dropped", "no label", "u9")
    assert manifest.count("missing") == 5 and manifest.count("missing", "video") == 0
    assert manifest.as_dict()["missing"] == {"audio": ["u0", "u1", "u2", "u3", "u4"]}
    lines = [" ".join(line.split()) for line in manifest.table().splitlines()]
    assert lines == ["found utterances 12", "missing audio 5 u0, u1, u2, ...", "dropped no label 1 u9"]


def test_positions_and_parties_follow_the_order_given():
    said = [("d2", "x", 3), ("d1", "y", 2), ("d1", "x", 1), ("d1", "y", 0)]
    rows = [{"dialogue_id": d, "speaker": s, "start": t} for d, s, t in said]
    numbered = number_dialogues(rows, lambda row: (row["start"],))
    assert [(r["dialogue_id"], r["start"], r["position"], r["party"]) for r in numbered] == [
        ("d1", 0, 0, 0),
        ("d1", 1, 1, 1),
        ("d1", 2, 2, 0),
        ("d2", 3, 0, 0),
    ]


def test_prepared_folder_loads_offline_with_its_label_names(raw, tmp_path, monkeypatch):
    manifest = prepare(Toy, None, raw, tmp_path / "out")

    def refuse(*_):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    loaded = load(tmp_path / "out", tmp_path / "cache")
    assert loaded.features == Toy(data_dir=raw, cache_dir=str(tmp_path / "cache")).info.features
    assert loaded.features["label"].names == ["even", "odd"] and loaded["label"] == [1, 0, 1]
    assert loaded["utterance_id"] == ["ada", "bea", "abe"] and loaded["party"] == [0, 1, 0]
    record = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert record["found"] == {"utterances": 3, "dialogues": 1} == manifest.as_dict()["found"]
    assert (record["config"], record["version"]) == ("plain", "1.2.0")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["README.md", "data", "manifest.json"]


def test_cache_folder_names_version_and_fingerprint(raw, tmp_path):
    builder = Toy(data_dir=raw, cache_dir=str(tmp_path / "cache"))
    assert builder.cache_dir.endswith(f"1.2.0/{builder.fingerprint}")


def test_relative_folders_of_the_same_name_do_not_meet_in_the_cache(tmp_path, monkeypatch):
    rows = {}
    for home, name in (("one", "ada"), ("two", "bea")):
        (tmp_path / home / "raw").mkdir(parents=True)
        (tmp_path / home / "raw" / "names.txt").write_text(name)
        os.utime(tmp_path / home / "raw" / "names.txt", (1, 1))
        monkeypatch.chdir(tmp_path / home)
        builder = Toy(data_dir="raw", cache_dir=str(tmp_path / "cache"))
        builder.download_and_prepare()
        rows[home] = builder.as_dataset(split="corpus")["utterance_id"]
        prepare(Toy, None, "raw", "out")
    assert rows == {"one": ["ada"], "two": ["bea"]}
    assert load(tmp_path / "one" / "out", tmp_path / "cache")["utterance_id"] == ["ada"]


def test_changed_file_is_noticed_by_the_class_and_by_prepare(raw, tmp_path):
    def names():
        builder = Toy(data_dir=raw, cache_dir=str(tmp_path / "cache"))
        builder.download_and_prepare()
        prepare(Toy, None, raw, tmp_path / "out")
        loaded = load(tmp_path / "out", tmp_path / "cache")["utterance_id"]
        assert builder.as_dataset(split="corpus")["utterance_id"] == loaded
        return builder.fingerprint, loaded

    before = names()
    assert names() == before
    (raw / "names.txt").write_text("ada\nbea\neve\n")  # as many bytes as before
    os.utime(raw / "names.txt", (5, 5))
    changed = names()
    assert changed[1] == ["ada", "bea", "eve"] and changed[0] != before[0]
    (raw / "new.txt").write_text("")
    assert names()[0] != changed[0]


def test_option_file_is_absolute_and_part_of_the_fingerprint(raw, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("extra.txt").write_text("zoe")
    builder = Toy(data_dir="raw", extra="extra.txt", cache_dir="cache")
    assert builder.config.extra == str(tmp_path / "extra.txt")
    Path("extra.txt").write_text("zoé!")
    again = Toy(data_dir="raw", extra="extra.txt", cache_dir="cache")
    without = Toy(data_dir="raw", cache_dir="cache")
    assert len({builder.fingerprint, again.fingerprint, without.fingerprint}) == 3
    with pytest.raises(CorpusError, match=r"extra: expected a file of more names, got .*absent.*names differ"):
        Toy(data_dir="raw", extra="absent.txt", cache_dir="cache")


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_run_leaves_the_earlier_result_and_nothing_else(raw, tmp_path, monkeypatch, failure):
    prepare(Toy, None, raw, tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    (raw / "names.txt").write_text("eve")

    def fail(*_):
        raise failure

    monkeypatch.setattr(_builder, "_card", fail)
    with pytest.raises(failure):
        prepare(Toy, None, raw, tmp_path / "out")
    with pytest.raises(failure):
        prepare(Toy, None, raw, tmp_path / "fresh")
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw"]


def test_a_folder_that_holds_something_else_is_refused(raw, tmp_path):
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter.txt").write_text("years of work")
    for out in (other, raw, tmp_path, raw / "out"):
        with pytest.raises(CorpusError, match=r"^out: expected a"):
            prepare(Toy, None, raw, out)
    assert (other / "chapter.txt").exists() and (raw / "names.txt").exists()


def test_bad_folder_config_and_empty_corpus_are_typed_errors(raw, tmp_path):
    with pytest.raises(CorpusError, match=r"^data_dir: expected the folder of the raw corpus, got .*absent"):
        prepare(Toy, None, tmp_path / "absent", tmp_path / "out")
    with pytest.raises(CorpusError, match=r"^config: expected one of \['loud', 'plain'\], got 'zzz'"):
        prepare(Toy, "zzz", raw, tmp_path / "out")
    (raw / "names.txt").write_text("\n \n")
    with pytest.raises(CorpusError, match="expected at least one utterance, got none"):
        prepare(Toy, None, raw, tmp_path / "out")
    (raw / "names.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CorpusError, match=r"names\.txt: expected a readable UTF-8 text file"):
        prepare(Toy, None, raw, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_command_line_prints_the_manifest_or_one_line_of_error(raw, tmp_path, capsys):
    (tmp_path / "extra.txt").write_text("zoe")
    argv = ["--data-dir", str(raw), "--out", str(tmp_path / "out"), "--config", "loud"]
    assert main(Toy, [*argv, "--extra", str(tmp_path / "extra.txt")]) == 0
    assert "found utterances 4" in " ".join(capsys.readouterr().out.split())
    (raw / "names.txt").write_text("bad\n")
    assert main(Toy, argv) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == f"python -m {Toy.__module__}: names.txt, line 1: expected a good name, got bad\n"


def test_help_and_errors_carry_the_name_that_was_typed(raw, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(Toy, ["--help"], "corpus-tool toy")
    text = capsys.readouterr().out
    assert "usage: corpus-tool toy" in text and "  corpus-tool toy --data-dir" in text and "python -m" not in text
    (tmp_path / "file").touch()
    assert main(Toy, ["--data-dir", str(raw), "--out", str(tmp_path / "file" / "out")], "corpus-tool toy") == 2
    error = capsys.readouterr().err
    assert error.startswith("corpus-tool toy: ") and str(tmp_path / "file") in error and error.count("\n") == 1


def test_help_shows_configs_options_and_an_example(capsys):
    with pytest.raises(SystemExit) as stop:
        main(Toy, ["--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    for part in ("Names, one a line.", "plain: As they are.", "--extra FILE", "--config loud"):
        assert part in text
