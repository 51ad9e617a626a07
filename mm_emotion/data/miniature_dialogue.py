"""Generated dialogues of the miniature corpus: what two invented people say, how it sounds, and how raters hear it.

Each party holds a mood (warm, hostile or low) and a strength. Both persist from turn to turn, and moods drift towards
the other party's. Words and voice tell the mood, each of them only in some utterances. The strength, which separates
happy from excited, frustrated from angry and neutral from sad, is told mostly by what the *other* party says about it
and by how the other's voice ends. So a single utterance leaves two emotions open, and its dialogue settles them.
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter, sosfilt

RATE = 16000  # Hz
SESSIONS = 5

_EMOTIONS = (("hap", "exc"), ("fru", "ang"), ("neu", "sad"))  # [mood][strength]
_MOODS = ("warm", "hostile", "low")
_RATER_WORDS = {
    "hap": "Happiness",
    "exc": "Excited",
    "fru": "Frustration",
    "ang": "Anger",
    "neu": "Neutral state",
    "sad": "Sadness",
}
_AFFECT = {  # valence, activation, dominance on the scales of the summaries, 1 to 5
    "hap": (4, 3, 3),
    "exc": (4, 4, 3),
    "fru": (2, 3, 3),
    "ang": (2, 4, 4),
    "neu": (3, 2, 3),
    "sad": (2, 2, 2),
}
CATEGORICAL_RATERS, ATTRIBUTE_RATERS = ("E1", "E2", "E4"), ("E1", "E2")

_SENTENCES = {
    "warm": (
        "look how well the {thing} turned out",
        "we finally found the {thing} by the {place}",
        "i could sing about the {thing} all day",
        "what a lovely morning for the {thing}",
        "they loved the {thing} and so did i",
        "the {place} smells of fresh bread and summer",
    ),
    "hostile": (
        "you broke the {thing} again",
        "i told you to leave the {thing} alone",
        "stop hiding the {thing} from me",
        "nobody at the {place} ever listens",
        "that is the third time the {thing} went missing",
        "do not blame the {thing} on me",
    ),
    "low": (
        "the {thing} is still where it was",
        "i walked past the {place} and came back",
        "there is dust on the {thing}",
        "the {place} closes at six",
        "someone left the {thing} out in the rain",
        "it has been quiet around the {place}",
    ),
    "plain": (
        "well that is that",
        "let me think about the {thing}",
        "so this is the {place} then",
        "hm all right",
        "we were talking about the {thing}",
        "okay go on",
    ),
}
_THINGS = ("lantern", "letter", "piano", "kettle", "parcel", "clock")
_PLACES = ("harbour", "station", "market", "library")
_ABOUT_ME = (
    ("a little", "more or less", "in its own time"),
    ("with all my heart", "like never before", "beyond words"),
)
_ABOUT_YOU = (
    ("you seem so calm", "how calm you sound"),
    ("you are shaking", "please stop shaking"),
)
_OPENINGS = ("there is no rush with this", "i have waited all night to say this")

# Mood -> pitch shift and range (semitones), syllables per second, level (dB), brightness (Hz).
_VOICES = {
    "warm": (3.0, 2.2, 5.4, 1.0, 2600.0),
    "hostile": (1.5, 1.2, 4.6, 8.0, 3800.0),
    "low": (-2.0, 0.8, 3.8, -6.0, 1300.0),
    "plain": (0.5, 1.4, 4.6, 0.0, 2300.0),
}
_VOICE_NOISE = (0.6, 0.3, 0.2, 1.5, 250.0)
_VOWELS = np.array([[780, 1250, 2500], [480, 1850, 2550], [300, 2200, 2950], [480, 900, 2400], [330, 800, 2250]])
_BANDWIDTHS = np.array([90, 110, 160])

_CHANCE_PLAIN = 0.22  # of words, and again of voices, that tell no mood
_CHANCE_ABOUT_ME = 0.12  # that words, or voice, tell the own strength
_CHANCE_ABOUT_YOU = 0.75  # that words, or voice, tell the other party's strength
_CHANCE_OF_CHANGE = 0.04  # that a party's strength turns before its turn
_CHANCE_TIE = 0.04


@dataclass(frozen=True)
class Utterance:
    """One generated utterance; `waveform` is (N,) int16, `start` in s from the start of the dialogue.

    `votes` maps a rater to its labels, `ratings` maps one to valence, activation and dominance.
    """

    utterance_id: str
    gender: str
    emotion: str
    mood: str
    start: float
    transcript: str
    waveform: np.ndarray
    votes: dict[str, list[str]]
    ratings: dict[str, tuple[int, int, int]]

    @property
    def end(self) -> float:
        """Seconds from the start of the dialogue."""
        return round(self.start + len(self.waveform) / RATE, 4)

    @property
    def consensus(self) -> str:
        """The emotion most raters gave, `xxx` where no label has two votes."""
        votes = [vote for labels in self.votes.values() for vote in labels]
        return self.emotion if votes.count(_RATER_WORDS[self.emotion]) > 1 else "xxx"


def generate_dialogue(index: int, seed: int = 0, utterances: tuple[int, int] = (10, 14)) -> tuple[str, list[Utterance]]:
    """Name and utterances of the dialogue number `index`; `utterances` bounds their number, both ends included."""
    session, place = index % SESSIONS + 1, index // SESSIONS
    recorded = "FM"[place % 2]  # the release records each scenario once per marked actor
    scenario = f"script{place // 8 + 1:02d}_1" if place % 8 >= 6 else f"impro{place // 2 + 1:02d}"
    name = f"Ses{session:02d}{recorded}_{scenario}"
    rng = np.random.default_rng([seed, index])
    actors = np.random.default_rng([seed, 1_000_000 + session])
    pitches = {"F": actors.uniform(185, 230), "M": actors.uniform(95, 130)}
    moods, strengths = rng.integers(3, size=2), rng.integers(2, size=2)
    party, clock, counts, dialogue = int(rng.integers(2)), 1.0, {"F": 0, "M": 0}, []
    for turn in range(rng.integers(utterances[0], utterances[1] + 1)):
        if turn > 0:
            party = 1 - party if rng.random() < 0.85 else party
            _drift(rng, moods, strengths, party)
        gender = "FM"[party]
        strength, other = int(strengths[party]), int(strengths[1 - party])
        plain = rng.random()
        word_mood = "plain" if plain < _CHANCE_PLAIN else _MOODS[moods[party]]
        voice_mood = "plain" if _CHANCE_PLAIN <= plain < 2 * _CHANCE_PLAIN else _MOODS[moods[party]]
        transcript = _words(rng, word_mood, strength, other, opening=turn == 0)
        waveform = _voice(rng, voice_mood, strength, other, pitches[gender], len(transcript.split()), gender)
        emotion = _EMOTIONS[moods[party]][strength]
        dialogue.append(
            Utterance(
                utterance_id=f"{name}_{gender}{counts[gender]:03d}",
                gender=gender,
                emotion=emotion,
                mood=_MOODS[moods[party]],
                start=round(clock, 3),
                transcript=transcript,
                waveform=waveform,
                votes=_votes(rng, emotion),
                ratings={rater: _rating(rng, emotion) for rater in ATTRIBUTE_RATERS},
            )
        )
        counts[gender] += 1
        clock = dialogue[-1].end + round(rng.uniform(-0.2, 0.6), 3)
    return name, dialogue


def _drift(rng: np.random.Generator, moods: np.ndarray, strengths: np.ndarray, party: int) -> None:
    """The next state of `party`: mostly its own last one, sometimes the other's, seldom a new one."""
    chance = rng.random()
    if chance < 0.22:
        moods[party] = moods[1 - party]
    elif chance < 0.34:
        moods[party] = rng.integers(3)
    if rng.random() < _CHANCE_OF_CHANGE:
        strengths[party] = 1 - strengths[party]


def _words(rng: np.random.Generator, mood: str, strength: int, other: int, opening: bool) -> str:
    parts = [_OPENINGS[strength]] if opening else []
    parts.append(str(rng.choice(_SENTENCES[mood])).format(thing=rng.choice(_THINGS), place=rng.choice(_PLACES)))
    if rng.random() < _CHANCE_ABOUT_ME:
        parts.append(str(rng.choice(_ABOUT_ME[strength])))
    if rng.random() < _CHANCE_ABOUT_YOU:
        parts.append(str(rng.choice(_ABOUT_YOU[other])))
    return ", ".join(parts).capitalize() + "."


def _voice(
    rng: np.random.Generator, mood: str, strength: int, other: int, pitch: float, words: int, gender: str
) -> np.ndarray:
    """Speech-like sound (N,) int16: a pulse train through the formants of one vowel per syllable."""
    shift, span, tempo, level, brightness = rng.normal(_VOICES[mood], _VOICE_NOISE)
    about_me = rng.random() < _CHANCE_ABOUT_ME
    ending = (-6.0, 6.0)[other] if rng.random() < _CHANCE_ABOUT_YOU else 0.0  # semitones over the last third
    syllables = int(np.clip(words, 5, 7))
    length = int(np.clip(RATE / tempo, 0.16 * RATE, 0.28 * RATE)) // 16 * 16  # whole ms: times keep four decimals
    time = np.arange(syllables * length) / length  # in syllables
    accents = np.interp(time, np.arange(syllables) + 0.5, rng.normal(0, 1, syllables))
    rise = ending * np.clip(3 * time / syllables - 2, 0, 1)
    phase = np.cumsum(pitch / RATE * np.exp2((shift + span * accents + rise) / 12))
    source = np.diff(np.floor(phase), prepend=0.0)  # one pulse per period
    breath = 0.25 if about_me and strength == 0 else 0.02
    source = source - source.mean() + breath * rng.normal(0, 0.12, len(source))
    smoothing = np.exp(-2 * np.pi * max(brightness, 600.0) / RATE)
    source = lfilter([1 - smoothing], [1, -smoothing], source)
    envelope = np.clip(np.sin(np.pi * (time % 1)), 0, None) ** 0.7
    if about_me and strength == 1:
        envelope = envelope * (1 + 0.8 * np.sin(2 * np.pi * 14 * np.arange(len(time)) / RATE))  # a trembling voice
    vowels = _VOWELS[rng.integers(len(_VOWELS), size=syllables)] * (1.15 if gender == "F" else 1.0)
    sound = np.concatenate(
        [sosfilt(_formants(vowel), part) for vowel, part in zip(vowels, source.reshape(syllables, length), strict=True)]
    )
    sound = sound * envelope
    sound *= 10 ** ((level - 28) / 20) / np.sqrt(np.mean(sound**2))
    sound += rng.normal(0, 3e-4, len(sound))
    return (np.clip(sound, -1, 1) * 32767).astype(np.int16)


def _formants(frequencies: np.ndarray) -> np.ndarray:
    """Second-order resonators (3, 6) in series, each of gain one at 0 Hz."""
    radius = np.exp(-np.pi * _BANDWIDTHS / RATE)
    first, second = -2 * radius * np.cos(2 * np.pi * frequencies / RATE), radius**2
    one, zero = np.ones(3), np.zeros(3)
    return np.stack([1 + first + second, zero, zero, one, first, second], axis=1)


def _votes(rng: np.random.Generator, emotion: str) -> dict[str, list[str]]:
    others = [word for code, word in _RATER_WORDS.items() if code != emotion]
    others = [str(word) for word in rng.permutation(others)]
    chance = rng.random()
    votes = [[_RATER_WORDS[emotion]] for _ in CATEGORICAL_RATERS]
    if chance < _CHANCE_TIE:
        votes[1:] = [[others[0]], [others[1]]]
    elif chance < 0.35:
        votes[int(rng.integers(3))] = [others[0]]
    elif chance < 0.42:
        votes[0].append("Surprise")
    return dict(zip(CATEGORICAL_RATERS, votes, strict=True))


def _rating(rng: np.random.Generator, emotion: str) -> tuple[int, int, int]:
    return tuple(int(value) for value in np.clip(np.add(_AFFECT[emotion], rng.integers(-1, 2, size=3)), 1, 5))
