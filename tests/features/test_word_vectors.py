import numpy as np
import pytest
import torch

from mm_emotion.errors import FeatureError
from mm_emotion.features.vocabulary import EmotionTokenizer
from mm_emotion.features.word_vectors import embedding_table, start_from

VOCABULARY = EmotionTokenizer.fit(["cold lake", "cold boat", "cold"]).get_vocab()  # cold 2, lake 3, boat 4
ROWS = {"cold": [1.0, 2.0, 3.0], "lake": [3.0, 2.0, 7.0], "tree": [9.0, 9.0, 9.0]}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("".join(f"{word} {' '.join(map(str, row))}\n" for word, row in ROWS.items()))
    return path


def test_rows_follow_the_vocabulary(path):
    table = embedding_table(path, VOCABULARY)
    assert (table.matrix.shape, table.matrix.dtype) == ((5, 3), np.float32)
    assert table.matrix.tolist() == [[0] * 3, [0] * 3, ROWS["cold"], ROWS["lake"], [0] * 3]


def test_unknown_words_follow_the_rule(path):
    mean = embedding_table(path, VOCABULARY, unknown="mean").matrix
    assert mean[[0, 1, 4]].tolist() == [[0] * 3, [2, 2, 5], [2, 2, 5]]
    first, again, other = (embedding_table(path, VOCABULARY, unknown="random", seed=seed).matrix for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not first[0].any()
    assert (first[[1, 4]] != other[[1, 4]]).all()
    assert (first[1] != first[4]).any()
    np.testing.assert_array_equal(first[2:4], mean[2:4])


def test_coverage_counts_words_and_occurrences(path):
    coverage = embedding_table(path, VOCABULARY, counts={"cold": 3, "lake": 1, "boat": 1}).coverage
    assert (coverage.words, coverage.found, coverage.missing) == (3, 2, ("boat",))
    assert (coverage.occurrences, coverage.occurrences_found) == (5, 4)
    assert str(coverage) == "2 of 3 words (66.7%), 80.0% of their occurrences"
    path.write_text(path.read_text() + "boat 1 2\ncold 1 2 3\n")
    coverage = embedding_table(path, VOCABULARY, on_error="skip").coverage
    assert str(coverage) == "2 of 3 words (66.7%); skipped 1 wrong width, 1 duplicate"


def test_a_model_starts_from_the_table(path):
    table = embedding_table(path, VOCABULARY)
    embedding = torch.nn.Embedding(7, 3)
    spare = embedding.weight[5:].detach().clone()
    embedding.requires_grad_(False)
    start_from(embedding, table)
    np.testing.assert_array_equal(embedding.weight[:5].detach().numpy(), table.matrix)
    assert torch.equal(embedding.weight[5:], spare)
    assert not embedding.weight.requires_grad
    for rows, width in ((4, 3), (5, 4)):
        with pytest.raises(FeatureError, match="at least 5 rows of 3"):
            start_from(torch.nn.Embedding(rows, width), table)


def test_impossible_options_and_useless_files_are_refused(path):
    for options, message in (
        ({"unknown": "zero"}, "did you mean 'zeros'"),
        ({"on_error": "ignore"}, "raise or skip"),
    ):
        with pytest.raises(FeatureError, match=message):
            embedding_table(path, VOCABULARY, **options)
    with pytest.raises(FeatureError, match="at least one word"):
        embedding_table(path, {"<pad>": 0, "<unk>": 1})
    with pytest.raises(FeatureError, match="none of them"):
        embedding_table(path, {"zebra": 2})
