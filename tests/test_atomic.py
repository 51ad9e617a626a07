"""A file or folder is there whole or not at all."""

from pathlib import Path

import pytest

from mm_emotion.atomic import replace_file, replace_folder


class Broken(Exception):
    pass


def test_a_file_takes_its_place_at_the_end(tmp_path):
    target = tmp_path / "deep" / "file.txt"
    with replace_file(target) as temporary:
        temporary.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    target = tmp_path / "file.txt"
    target.write_text("old")
    with pytest.raises(Broken), replace_file(target) as temporary:
        temporary.write_text("half")
        raise Broken
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


def test_a_folder_replaces_the_old_one_whole(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "stale").touch()
    with replace_folder(target) as temporary:
        (temporary / "fresh").touch()
    assert [path.name for path in target.iterdir()] == ["fresh"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(tmp_path, monkeypatch):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").touch()
    rename = Path.replace

    def refuse(path, other):
        if (path / "fresh").exists():
            raise PermissionError(13, "refused", str(other))
        return rename(path, other)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(PermissionError), replace_folder(target) as temporary:
        (temporary / "fresh").touch()
    assert [path.name for path in target.iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_file_is_never_replaced_by_a_folder(tmp_path):
    target = tmp_path / "file"
    target.write_text("years of work")
    with pytest.raises(NotADirectoryError, match="file"), replace_folder(target):
        raise AssertionError("nothing is to be computed for a place that cannot be had")
    assert target.read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_link_to_a_folder_goes_on_pointing_at_it(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "stale").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with replace_folder(tmp_path / "link") as temporary:
        (temporary / "fresh").touch()
    assert (tmp_path / "link").is_symlink()
    assert [path.name for path in (tmp_path / "real").iterdir()] == ["fresh"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_a_failed_folder_leaves_the_old_one(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(Broken), replace_folder(target) as temporary:
        (temporary / "half").touch()
        raise Broken
    assert [path.name for path in target.iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
