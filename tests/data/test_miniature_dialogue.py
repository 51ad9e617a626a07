from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from mm_emotion.data.miniature_dialogue import RATE, generate_dialogue

STRONG = {"exc", "ang", "sad"}
ABOUT_OTHER = {"calm": False, "shaking": True}


@pytest.fixture(scope="module")
def dialogues() -> list:
    return [generate_dialogue(index) for index in range(40)]


def test_a_dialogue_depends_on_its_number_and_the_seed_alone():
    (name, first), (_, again), (_, other) = (generate_dialogue(7), generate_dialogue(7), generate_dialogue(7, seed=1))
    assert name == "Ses03M_impro01"
    assert [utterance.transcript for utterance in first] == [utterance.transcript for utterance in again]
    assert all(np.array_equal(a.waveform, b.waveform) for a, b in zip(first, again, strict=True))
    assert [utterance.transcript for utterance in first] != [utterance.transcript for utterance in other]


def test_names_are_those_of_the_release_and_unique(dialogues):
    names = [generate_dialogue(index, utterances=(1, 1))[0] for index in range(0, 60, 5)]
    assert names[:3] == ["Ses01F_impro01", "Ses01M_impro01", "Ses01F_impro02"]
    assert names[6:8] == ["Ses01F_script01_1", "Ses01M_script01_1"]
    identifiers = [utterance.utterance_id for _, spoken in dialogues for utterance in spoken]
    assert len(set(identifiers)) == len(identifiers)
    assert len({name for name, _ in dialogues}) == 40


def test_lengths_times_and_loudness(dialogues):
    for _, spoken in dialogues:
        assert 10 <= len(spoken) <= 14
        for utterance in spoken:
            assert 0.7 <= len(utterance.waveform) / RATE <= 2
            assert 300 < np.abs(utterance.waveform.astype(int)).max() <= 32767
        starts = [utterance.start for utterance in spoken]
        assert starts == sorted(starts)


def test_all_six_emotions_occur_about_equally(dialogues):
    counts = Counter(utterance.emotion for _, spoken in dialogues for utterance in spoken)
    assert len(counts) == 6
    assert min(counts.values()) > 0.08 * sum(counts.values())


def test_few_utterances_are_ties_and_the_others_have_the_emotion_as_plurality(dialogues):
    utterances = [utterance for _, spoken in dialogues for utterance in spoken]
    ties = [utterance for utterance in utterances if utterance.consensus == "xxx"]
    assert 0 < len(ties) < 0.1 * len(utterances)
    for utterance in utterances:
        votes = Counter(vote for labels in utterance.votes.values() for vote in labels)
        (_, most), *rest = votes.most_common()
        assert (most == 1) == (utterance.consensus == "xxx")
        assert utterance.consensus == "xxx" or all(count < most for _, count in rest)


def test_the_strength_is_told_by_the_other_party_and_not_by_the_utterance(dialogues):
    """What makes a dialogue model better than an utterance model."""
    told, own = [], []
    for _, spoken in dialogues:
        for utterance, following in pairwise(spoken):
            for word, strong in ABOUT_OTHER.items():
                if word in utterance.transcript:
                    own.append((utterance.emotion in STRONG) == strong)
                    if following.gender != utterance.gender:
                        told.append((following.emotion in STRONG) == strong)
    assert min(len(told), len(own)) > 200
    assert np.mean(told) > 0.9
    assert 0.35 < np.mean(own) < 0.65
