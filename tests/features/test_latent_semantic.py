"""Latent semantic vectors equal scikit-learn's tf-idf and truncated SVD, and come back the same from their tensors."""

import numpy as np
import pytest

from mm_emotion.errors import CheckpointError, FeatureError
from mm_emotion.features.latent_semantic import LatentSemantic, character_terms, word_terms

WORDS = [
    "lake",
    "rain",
    "door",
    "train",
    "letter",
    "garden",
    "quiet",
    "morning",
    "we",
    "you",
    "go",
    "stay",
    "never",
    "always",
]


def make_transcripts(count: int = 60) -> list[str]:
    random = np.random.default_rng(0)
    return [
        " ".join(random.choice(WORDS, size=random.integers(1, 9))) + random.choice(["", "?", "!"]) for _ in range(count)
    ]


@pytest.fixture(scope="module")
def fitted() -> LatentSemantic:
    return LatentSemantic.fit(make_transcripts(), word_dimensions=5, character_dimensions=4)


def test_terms_are_words_pairs_and_marks():
    assert word_terms("You can't GO?") == ["you", "can't", "go", "?", "you can't", "can't go", "go ?"]
    assert character_terms("go") == [" g", "go", "o ", " go", "go ", " go "]
    assert word_terms("...") == character_terms("...") == []


def test_vectors_equal_scikit_learns(fitted):
    text_features = pytest.importorskip("sklearn.feature_extraction.text")
    decomposition = pytest.importorskip("sklearn.decomposition")
    transcripts = make_transcripts()
    for projection, analyzer, minimum, size in (
        (fitted.words, word_terms, 2, 5),
        (fitted.characters, character_terms, 3, 4),
    ):
        vectorizer = text_features.TfidfVectorizer(analyzer=analyzer, min_df=minimum, sublinear_tf=True)
        matrix = vectorizer.fit_transform(transcripts)
        assert list(projection.terms) == list(vectorizer.get_feature_names_out())
        theirs = decomposition.TruncatedSVD(size, algorithm="arpack", random_state=0).fit(matrix).components_
        np.testing.assert_allclose(np.abs(projection.components.T), np.abs(theirs), atol=1e-4)
    words = text_features.TfidfVectorizer(analyzer=word_terms, min_df=2, sublinear_tf=True).fit(transcripts)
    expected = words.transform(["the rain rain at the door"]) @ fitted.words.components
    vector = fitted.transform("the rain rain at the door") * fitted.scale + fitted.mean
    np.testing.assert_allclose(vector[:5], expected[0], atol=1e-6)


def test_vectors_come_back_from_their_file(fitted, tmp_path):
    path = fitted.save(tmp_path)
    again = LatentSemantic.load(path)
    for text in make_transcripts(5):
        assert np.array_equal(again.transform(text), fitted.transform(text))
    assert again.size == 9
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="intact latent semantic tables"):
        LatentSemantic.load(path)


def test_vectors_are_standardised_on_what_was_fitted(fitted):
    vectors = np.stack([fitted.transform(text) for text in make_transcripts()])
    np.testing.assert_allclose(vectors.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(vectors.std(axis=0), 1, atol=1e-4)


def test_a_transcript_without_known_terms_is_that_of_an_empty_one(fitted):
    vector = fitted.transform("")
    assert vector.shape == (9,)
    assert vector.dtype == np.float32
    assert np.array_equal(vector, fitted.transform("zzzz 1234"))


def test_too_many_dimensions_are_refused():
    with pytest.raises(FeatureError, match="word_dimensions"):
        LatentSemantic.fit(make_transcripts(8), word_dimensions=8, character_dimensions=2)


@pytest.mark.parametrize("dimensions", [0, -1, 2.0])
def test_a_number_of_dimensions_is_at_least_one(dimensions):
    with pytest.raises(FeatureError, match="character_dimensions: expected an integer of at least 1"):
        LatentSemantic.fit(make_transcripts(), word_dimensions=4, character_dimensions=dimensions)
