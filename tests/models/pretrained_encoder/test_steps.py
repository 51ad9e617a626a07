"""Words of earlier utterances in front of an utterance's own, against loops."""

import torch

from mm_emotion.models.pretrained_encoder.steps import with_previous


def ragged(lengths):
    lengths = torch.tensor(lengths)  # (B, U)
    mask = torch.arange(int(lengths.max())) < lengths[..., None]
    ids = torch.randint(1, 99, mask.shape, generator=torch.Generator().manual_seed(0))
    return ids, mask


def literally(ids, mask, turns, most):
    """Per utterance: the ids, and how many of them are its own."""
    found = {}
    for b in range(len(ids)):
        words = [row[here].tolist() for row, here in zip(ids[b], mask[b], strict=True)]
        for u in range(len(words)):
            context = [word for turn in words[max(0, u - turns) : u] for word in turn]
            found[b, u] = ((context + words[u])[-most:], min(most, len(words[u])))
    return found


def test_the_words_of_a_dialogue_in_order_the_oldest_dropped():
    ids, mask = ragged([[3, 1, 4, 2], [2, 5, 0, 0]])
    for turns, most in ((1, 99), (2, 99), (2, 5), (3, 4)):
        steps, there, own = with_previous(ids, mask, turns, most)
        for (b, u), (expected, count) in literally(ids, mask, turns, most).items():
            length = len(expected)
            assert steps[b, u][there[b, u]].tolist() == expected
            assert there[b, u].tolist() == [True] * length + [False] * (there.shape[2] - length)
            assert own[b, u].nonzero().flatten().tolist() == list(range(length - count, length))


def test_what_went_before_is_read_like_what_is_in_the_batch():
    ids, mask = ragged([[3, 1, 4, 2]])
    whole = with_previous(ids, mask, 2, 99)
    later = with_previous(ids[:, 2:, :4], mask[:, 2:, :4], 2, 99, (ids[:, :2], mask[:, :2]))
    for u in range(2):
        assert later[0][0, u][later[1][0, u]].tolist() == whole[0][0, u + 2][whole[1][0, u + 2]].tolist()
