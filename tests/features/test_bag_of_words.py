"""Bags of words: soft counts by hand, windows at the rate of the annotation, a codebook that comes back from disk."""

import numpy as np
import pytest

from mm_emotion.errors import CheckpointError, FeatureError
from mm_emotion.features.bag_of_words import Codebook, fit_codebook


def book(assigned=2):
    words = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 6.0]])
    return Codebook(words, np.array([1.0, 1.0]), np.array([1.0, 2.0]), 1.0, assigned)


def test_soft_counts_by_hand():
    frames = np.array([[1.0, 1.0], [2.0, 1.0], [1.0, 1001.0]])  # standardised: (0, 0), (1, 0), (0, 500)
    counts = book().counts(frames)
    near, far = 1.0, np.exp(-2.0)
    np.testing.assert_allclose(counts[0], np.array([near, far, 0]) / (near + far), rtol=1e-6)
    np.testing.assert_allclose(counts[1], [0.5, 0.5, 0], rtol=1e-6)
    np.testing.assert_allclose(counts[2], [0, 0, 1], atol=1e-6)
    np.testing.assert_array_equal(book(1).counts(frames)[1:].sum(1), [1, 1])


def test_windows_at_the_rate_of_the_annotation():
    frames = np.random.default_rng(0).normal(size=(1000, 2))  # 10 s at 100 Hz
    counts, bags = book().counts(frames), book().bags(frames, 0.01)
    assert bags.shape == (100, 3)
    np.testing.assert_allclose(bags[50], counts[200:800].mean(0), rtol=1e-5)
    np.testing.assert_allclose(bags[0], counts[:300].mean(0), rtol=1e-5)
    np.testing.assert_allclose(bags[99], counts[690:].mean(0), rtol=1e-5)
    np.testing.assert_allclose(book().bag(frames), counts.mean(0), rtol=1e-5)
    assert book().bags(frames[:3], 0.01).shape == (1, 3)


def test_many_frames_are_counted_as_few_are():
    frames = np.random.default_rng(1).normal(size=(5000, 2))
    np.testing.assert_array_equal(book().counts(frames)[4000:], book().counts(frames[4000:]))


def test_a_codebook_finds_the_clusters_and_comes_back(tmp_path):
    random = np.random.default_rng(0)
    centres = np.array([[0, 0, 5.0], [10, 0, 5], [0, 10, 5]])  # the last value never varies
    recordings = [centres[k] + random.normal(0, [0.1, 0.1, 0], (50, 3)) for k in range(3)]
    found = fit_codebook(recordings, 3, assigned=1)
    back = np.sort(found.words * found.scale + found.mean, axis=0)
    np.testing.assert_allclose(back, np.sort(centres, axis=0), atol=0.1)
    counts = [found.bag(part) for part in recordings]
    np.testing.assert_allclose(np.sort(np.stack(counts), axis=1), [[0, 0, 1]] * 3)
    assert fit_codebook(recordings, 3, assigned=1).words.tolist() == found.words.tolist()
    found.save(tmp_path / "book.safetensors")
    again = Codebook.load(tmp_path / "book.safetensors")
    np.testing.assert_array_equal(again.bag(recordings[1]), counts[1])
    assert (again.width, again.assigned) == (found.width, 1)


def test_a_file_that_is_no_codebook_is_a_typed_error(tmp_path):
    path = tmp_path / "book.safetensors"
    book().save(path)
    whole = path.read_bytes()
    for content in (b"", whole[:40], whole[:-5], b"\x00" * 64, whole.replace(b"width", b"breit")):
        path.write_bytes(content)
        with pytest.raises(CheckpointError):
            Codebook.load(path)
    with pytest.raises(CheckpointError):
        Codebook.load(tmp_path / "absent")


@pytest.mark.parametrize(
    "call",
    [
        lambda: book().counts(np.zeros((2, 3))),
        lambda: book().counts(np.zeros((0, 2))),
        lambda: book().counts(np.array([[np.nan, 0]])),
        lambda: book().bags(np.zeros((5, 2)), 0.0),
        lambda: fit_codebook([], 2),
        lambda: fit_codebook([np.zeros((3, 2)), np.zeros((3, 1))], 2),
        lambda: fit_codebook([np.zeros((3, 2))], 4),
        lambda: fit_codebook([np.zeros((3, 2))], 0),
        lambda: fit_codebook([np.zeros(3)], 1),
    ],
)
def test_bad_input_is_a_typed_error(call):
    with pytest.raises(FeatureError):
        call()
