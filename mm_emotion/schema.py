"""The shared words: modalities, batch keys, label sets with their order, affect dimensions.

Axis letters used in every shape: B dialogues, U utterances, T steps in an utterance, P parties, D features, H hidden,
K labels or affect dimensions.
"""

MODALITIES = ("text", "audio", "visual", "mocap")
"""The four modalities, in the order of every concatenation and of the last axis of `modality_mask`."""

IGNORE_INDEX = -100
"""Label of padding, and of real utterances that serve as context only."""

SPLITS = ("train", "validation", "test")

TIME_MASKS = tuple(f"{modality}_mask" for modality in MODALITIES)
BATCH_KEYS = (
    "input_ids",  # (B, U, T) int64
    *MODALITIES,  # (B, U, T, D) or (B, U, D) float32
    *TIME_MASKS,  # (B, U, T) bool, only with a T axis
    "modality_mask",  # (B, U, 4) bool
    "utterance_mask",  # (B, U) bool
    "speaker_mask",  # (B, U, P) bool
    "labels",  # (B, U) int64 or (B, U, K) float32
)

_SIX = ("happy", "sad", "neutral", "angry", "excited", "frustrated")
LABEL_SETS: dict[str, dict[str, tuple[str, ...]]] = {
    "iemocap": {
        "six_way": _SIX,
        "six_way_dialogue": _SIX,
        "four_way": ("angry", "happy", "neutral", "sad"),
        "four_way_exc": ("angry", "excited", "neutral", "sad"),
        "all": (*_SIX, "surprised", "fearful", "disgusted", "other", "undecided"),
    },
    "meld": {
        "seven_way": ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"),
        "three_way": ("neutral", "positive", "negative"),
    },
    "cmu_mosei": {"six_emotions": ("anger", "disgust", "fear", "happy", "sad", "surprise")},
    "cmu_mosi": {"binary": ("negative", "positive")},
    "ravdess": {"emotion": ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")},
    "emodb": {"emotion": ("anger", "boredom", "disgust", "fear", "happiness", "sadness", "neutral")},
    "table": {"own": ()},
}
"""Class names per corpus and label set; the position of a name is its label id. () stands for those of the data."""

AFFECT_DIMENSIONS: dict[str, tuple[str, ...]] = {
    "iemocap": ("valence", "activation", "dominance"),
    "semaine": ("valence", "arousal", "expectancy", "power"),
    "sewa": ("arousal", "valence", "liking"),
    "cmu_mosi": ("sentiment",),
    "cmu_mosei": ("sentiment", "anger", "disgust", "fear", "happy", "sad", "surprise"),
    "recola": ("arousal", "valence"),
    "table": ("affect",),
    "mmmo": ("rating",),  # of a film, 1 to 5
}
"""Numbers that an utterance or frame is labelled with, per corpus, in the order of a prepared `affect` column."""

AFFECT_SETS: dict[str, dict[str, tuple[str, ...]]] = {
    "cmu_mosei": {"six_intensities": LABEL_SETS["cmu_mosei"]["six_emotions"]},
}
"""Several dimensions that one model predicts at once, by a name that stands where a single dimension may."""

IEMOCAP_CODES = {
    "hap": "happy",
    "sad": "sad",
    "neu": "neutral",
    "ang": "angry",
    "exc": "excited",
    "fru": "frustrated",
    "sur": "surprised",
    "fea": "fearful",
    "dis": "disgusted",
    "oth": "other",
    "xxx": "undecided",
}
"""Consensus code of the IEMOCAP release -> class name."""

IEMOCAP_VOTES = {
    "Happiness": "hap",
    "Sadness": "sad",
    "Neutral": "neu",
    "Neutral state": "neu",
    "Anger": "ang",
    "Excited": "exc",
    "Frustration": "fru",
    "Surprise": "sur",
    "Fear": "fea",
    "Disgust": "dis",
    "Other": "oth",
}
"""What a rater ticked -> code; summaries say "Neutral" where the raters' own files say "Neutral state"."""
