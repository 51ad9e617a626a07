"""An npz file that is damaged anywhere is refused in words, and left closed."""

import random

import numpy as np
import pytest

from mm_emotion.data.arrays import opened
from mm_emotion.errors import CorpusError


def test_any_damage_is_a_corpus_error(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, a=np.arange(50.0), b=["x", "y"])
    whole, refused = path.read_bytes(), 0
    chance = random.Random(0)
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data[: chance.randrange(len(data))] if chance.random() < 0.2 else data)
        try:
            with opened(path) as archive:
                assert all(archive[name].size for name in archive.files)
        except CorpusError as error:
            refused += 1
            assert error.field == str(path)
    assert refused > 200


def test_pickled_objects_and_single_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "pickled.npz", a=np.array([{}], dtype=object))
    with pytest.raises(CorpusError, match="without pickled objects"), opened(tmp_path / "pickled.npz") as archive:
        archive["a"]
    with (tmp_path / "single.npz").open("wb") as file:
        np.save(file, [1.0])
    with pytest.raises(CorpusError, match="a whole npz file"), opened(tmp_path / "single.npz"):
        pass


def test_errors_of_the_reader_stay_as_they_are(tmp_path):
    np.savez(tmp_path / "x.npz", a=[1.0])
    with pytest.raises(CorpusError, match="width: expected 3, got 1"), opened(tmp_path / "x.npz"):
        raise CorpusError("width", 3, 1)
