"""Dialogues as the processor is called with them: the keys of an utterance, their order, who speaks."""

from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral, Real

from mm_emotion.errors import FeatureError
from mm_emotion.features.column import check_known

UTTERANCE_KEYS = (
    *("text", "transcript", "words", "audio", "audio_path", "video", "video_path", "mocap", "start", "end"),
    *("speaker", "party", "label", "affect", "utterance_id", "dialogue_id", "position", "split"),
)
"""The keys of one utterance in a call of the processor: its own media and the columns of every prepared dataset."""

_NUMBERS = {
    "start": (Real, "seconds"),
    "end": (Real, "seconds"),
    "party": (Integral, "a whole number"),
    "position": (Real, "a number"),
}
_NAMES = ("speaker", "dialogue_id")


def check_dialogue(dialogue: Sequence[dict]) -> None:
    """Raise FeatureError for what is no dictionary, an unknown key, no number or name, a `position` that goes back."""
    for utterance in dialogue:
        if not isinstance(utterance, dict):
            raise FeatureError("utterance", "a dictionary", type(utterance).__name__)
        check_known("utterance", utterance, UTTERANCE_KEYS)
        for key, (kind, expected) in _NUMBERS.items():
            if utterance.get(key) is not None and not isinstance(utterance[key], kind):
                raise FeatureError(key, expected, repr(utterance[key]))
        if (party := utterance.get("party")) is not None and party < 0:
            raise FeatureError("party", "a whole number from 0", party)
        for key in _NAMES:
            name = utterance.get(key)
            if name is not None and not (isinstance(name, (str, Real)) and name == name):  # NaN is no name
                raise FeatureError(key, "one name or number", repr(name))
    positions = [utterance["position"] for utterance in dialogue if utterance.get("position") is not None]
    for before, after in pairwise(positions):
        if after <= before:
            raise FeatureError("position", f"more than {before}, that of an utterance before", after)


def party_numbers(dialogue: Sequence[dict]) -> list[int]:
    """The party of each utterance: `party`, or else each `speaker` numbered by first appearance, or else one for all.

    Errors: FeatureError for a party or speaker that only some of the utterances have.
    """
    for key in ("party", "speaker"):
        values = [utterance.get(key) for utterance in dialogue]
        missing = [value is None for value in values]
        if all(missing):
            continue
        if any(missing):
            given = f"none for utterance {missing.index(True) + 1}"
            raise FeatureError(key, "a value for each utterance of the dialogue, or for none", given)
        if key == "party":
            return values
        numbers = {speaker: number for number, speaker in enumerate(dict.fromkeys(values))}
        return [numbers[speaker] for speaker in values]
    return [0] * len(dialogue)
