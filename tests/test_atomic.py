"""A file or folder is there whole or not at all."""

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


def test_a_failed_folder_leaves_the_old_one(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(Broken), replace_folder(target) as temporary:
        (temporary / "half").touch()
        raise Broken
    assert [path.name for path in target.iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
