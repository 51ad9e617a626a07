"""A generated corpus in the folder layout of the IEMOCAP release, to try everything without licensed data.

Nothing of it is recorded or taken from a corpus; `miniature_dialogue` makes the dialogues, this module writes them.
"""

import argparse
import os
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mm_emotion.atomic import replace_folder
from mm_emotion.data.miniature_dialogue import (
    ATTRIBUTE_RATERS,
    CATEGORICAL_RATERS,
    RATE,
    Utterance,
    generate_dialogue,
)
from mm_emotion.errors import CorpusError, MissingExtraError

_MARK = "MINIATURE.txt"
_MARK_TEXT = "Generated dialogues in the folder layout of IEMOCAP; nothing here comes from that corpus."

_VIDEO_RATE, _WIDTH, _HEIGHT = 5, 64, 48  # frames per s, pixels
_MARKER_RATE = 10  # rows per s (the release: 120)
_MARKERS = {"CH": "123", "FH": "123", "LC": "12345678", "RC": "12345678", "LLID": [""], "RLID": [""], "MH": [""]}
_MARKERS |= {"MNOSE": [""], "LNSTRL": [""], "TNOSE": [""], "RNSTRL": [""], "LBM": "0123", "RBM": "0123"}
_MARKERS |= {"LBRO": "1234", "RBRO": "1234", "Mou": "12345678", "LHD": [""], "RHD": [""]}
_FACE = tuple(name + number for name, numbers in _MARKERS.items() for number in numbers)  # 55 markers
_HANDS = ("RH1", "RH2", "RH3", "LH1", "LH2", "LH3")
_HEAD = ("pitch", "roll", "yaw", "tra_x", "tra_y", "tra_z")
_SMILE = {"warm": 3.0, "hostile": -2.0, "low": -0.5}  # pixels and millimetres that the corners of the mouth rise


def write_miniature(
    folder: str | os.PathLike,
    seed: int = 0,
    dialogues: int = 40,
    utterances: tuple[int, int] = (10, 14),
    video: bool = True,
    mocap: bool = True,
) -> Path:
    """Write the corpus as `folder`/Session1 to Session5 and return the folder; equal arguments give equal files.

    Dialogue i belongs to session i mod 5 + 1 and has `utterances` (fewest, most) utterances of 0.8 to 2 s.
    A folder that an earlier call wrote is replaced. Errors: CorpusError for sizes under 1 or a folder that holds
    anything else, MissingExtraError for `video` without PyAV.
    """
    folder = Path(folder)
    if dialogues < 1:
        raise CorpusError("dialogues", "at least 1", dialogues)
    if not 1 <= utterances[0] <= utterances[1]:
        raise CorpusError("utterances", "(fewest, most) with 1 <= fewest <= most", utterances)
    if folder.exists() and not _replaceable(folder):
        raise CorpusError(f"folder {folder}", "a new or empty folder, or an earlier miniature", "other content")
    with replace_folder(folder) as temporary:
        _write_lines(temporary / _MARK, [_MARK_TEXT])
        for index in range(dialogues):
            name, spoken = generate_dialogue(index, seed, utterances)
            session = temporary / f"Session{name[4]}"
            _write_transcription(session / "dialog" / "transcriptions" / f"{name}.txt", spoken)
            _write_evaluation(session / "dialog" / "EmoEvaluation", name, spoken)
            _write_sound(session / "sentences" / "wav" / name, spoken)
            if mocap:
                _write_markers(session / "sentences", name, spoken, np.random.default_rng([seed, index, 1]))
            if video:
                _write_video(session / "dialog" / "avi" / "DivX" / f"{name}.avi", spoken)
    return folder


def _replaceable(folder: Path) -> bool:
    """Whether nothing but an earlier miniature would be lost with `folder`."""
    if not folder.is_dir():
        return False
    mark = folder / _MARK
    return not any(folder.iterdir()) or (mark.is_file() and mark.read_text(encoding="utf-8").strip() == _MARK_TEXT)


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def _write_transcription(path: Path, dialogue: list[Utterance]) -> None:
    lines = []
    for number, utterance in enumerate(dialogue):
        times = f"{utterance.start:08.4f}-{utterance.end:08.4f}"
        lines.append(f"{utterance.utterance_id} [{times}]: {utterance.transcript}")
        if number % 8 == 5:  # as in the release, some sounds of the listener are written down but not cut out
            lines.append(f"{'M' if utterance.gender == 'F' else 'F'}: Mhm.")
    _write_lines(path, lines)


def _write_evaluation(folder: Path, name: str, dialogue: list[Utterance]) -> None:
    """Summary and rater files, all of F's turns before M's, as in the release."""
    turns = sorted(dialogue, key=lambda utterance: utterance.utterance_id)
    summary = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
    for number, turn in enumerate(turns):
        means = np.mean([turn.ratings[rater] for rater in ATTRIBUTE_RATERS], axis=0)
        affect = f"[{means[0]:.4f}, {means[1]:.4f}, {means[2]:.4f}]"
        summary.append(f"[{turn.start:.4f} - {turn.end:.4f}]\t{turn.utterance_id}\t{turn.consensus}\t{affect}")
        for rater in CATEGORICAL_RATERS:
            labels = " ".join(f"{label.removesuffix(' state')};" for label in turn.votes[rater])
            summary.append(f"C-{rater}:\t{labels}\t()")
        for rater in ATTRIBUTE_RATERS:
            valence, activation, dominance = turn.ratings[rater]
            comment = _comment(number)
            summary.append(f"A-{rater}:\tval {valence}; act {activation}; dom  {dominance};\t{comment}")
        summary.append("")
    _write_lines(folder / f"{name}.txt", summary)
    for rater in CATEGORICAL_RATERS:
        lines = [f"{turn.utterance_id} {' '.join(f':{label};' for label in turn.votes[rater])} ()" for turn in turns]
        _write_lines(folder / "Categorical" / f"{name}_{rater.lower()}_cat.txt", lines)
    for rater in ATTRIBUTE_RATERS:
        lines = []
        for number, turn in enumerate(turns):
            valence, activation, dominance = turn.ratings[rater]
            # The release's rater files count activation and valence the other way round.
            scales = f":act {6 - activation}; :val {6 - valence}; :dom {dominance};"
            lines.append(f"{turn.utterance_id} {scales} {_comment(number)}")
        _write_lines(folder / "Attribute" / f"{name}_{rater.lower()}_atr.txt", lines)


def _comment(number: int) -> str:
    return "(hesitating, polite)" if number % 7 == 3 else "()"


def _write_sound(folder: Path, dialogue: list[Utterance]) -> None:
    folder.mkdir(parents=True)
    for utterance in dialogue:
        with wave.open(str(folder / f"{utterance.utterance_id}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(utterance.waveform.astype("<i2").tobytes())


def _openings(utterance: Utterance, rate: int) -> np.ndarray:
    """How far the mouth is open, 0 to 1, in each of the frames (F,) of an utterance at `rate` frames per s."""
    frames = max(1, len(utterance.waveform) * rate // RATE)
    loudness = [np.abs(part.astype(np.float64)).mean() for part in np.array_split(utterance.waveform, frames)]
    return np.asarray(loudness) / max(loudness)


def _write_markers(folder: Path, name: str, dialogue: list[Utterance], rng: np.random.Generator) -> None:
    """Face, head and hands of the actor who wears the markers, also while the other one speaks."""
    face = rng.normal(0, 40, (len(_FACE), 3))  # (55, 3) mm
    mouth = [index for index, marker in enumerate(_FACE) if marker.startswith("Mou")]
    numbers = [*range(1, 54), 60, 61]
    axes = {
        "MOCAP_rotated": (_FACE, [f"{axis}{number}" for number in numbers for axis in "XYZ"]),
        "MOCAP_hand": (_HANDS, [f"{axis}{number}" for number in range(54, 60) for axis in "XYZ"]),
        "MOCAP_head": (_HEAD, ["deg", "deg", "deg", "mm", "mm", "mm"]),
    }
    for utterance in dialogue:
        open_mouth = _openings(utterance, _MARKER_RATE)  # (F,)
        speaking = utterance.gender == name[5]
        frames = len(open_mouth)
        markers = face + rng.normal(0, 0.3, (frames, len(_FACE), 3))  # (F, 55, 3)
        if speaking:
            markers[:, mouth, 1] += _SMILE[utterance.mood]
            markers[:, mouth, 2] -= 4 * open_mouth[:, None]
        times = utterance.start + np.arange(frames) / _MARKER_RATE
        columns = {
            "MOCAP_rotated": markers.reshape(frames, -1),
            "MOCAP_hand": 200 + 15 * speaking * rng.normal(0, 1, (frames, 18)),
            "MOCAP_head": rng.normal(0, 1 + 2 * speaking, (frames, 6)),
        }
        for kind, (names, units) in axes.items():
            rows = np.char.mod("%.3f", columns[kind])
            first = round(utterance.start * _MARKER_RATE) + 1
            lines = [f"Frame# Time {' '.join(names)}", " ".join(units)]
            lines += [f"{first + f} {times[f]:.4f} {' '.join(row)}" for f, row in enumerate(rows)]
            _write_lines(folder / kind / name / f"{utterance.utterance_id}.txt", lines)


def _write_video(path: Path, dialogue: list[Utterance]) -> None:
    """A small silent clip of two drawn faces, F's on the left: the speaker's mouth moves, its corners tell the mood."""
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("PyAV", "video") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="avi", container_options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("mpeg4", rate=_VIDEO_RATE, options={"flags": "+bitexact"})
        stream.width, stream.height, stream.pix_fmt, stream.thread_count = _WIDTH, _HEIGHT, "yuv420p", 1
        for image in _faces(dialogue):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="gray")))
        container.mux(stream.encode())


def _faces(dialogue: list[Utterance]) -> np.ndarray:
    """Grey frames (F, 48, 64) of the whole dialogue."""
    frames = int(np.ceil((dialogue[-1].end + 0.4) * _VIDEO_RATE))
    rows, columns = np.mgrid[:_HEIGHT, : _WIDTH // 2]
    across = columns - _WIDTH // 4 + 0.5
    skin = np.where((rows - 24) ** 2 / 20**2 + across**2 / 13**2 < 1, 170, 40)  # (48, 32)
    skin[(np.abs(np.abs(across) - 5) < 2) & (np.abs(rows - 18) < 2)] = 60  # eyes
    images = np.tile(skin, (frames, 1, 2))  # (F, 48, 64)
    openness = np.zeros((frames, 2))  # (F, P)
    smile = np.zeros((frames, 2))
    for utterance in dialogue:
        party, first = "FM".index(utterance.gender), round(utterance.start * _VIDEO_RATE)
        moving = _openings(utterance, _VIDEO_RATE)
        openness[first : first + len(moving), party] = moving
        smile[first:, party] = _SMILE[utterance.mood]  # the face keeps its mood until the party's next turn
    for party in range(2):
        centre = 34 - smile[:, party, None, None] * (across / 8) ** 2  # (F, 48, 32)
        mouth = (np.abs(rows - centre) < 1 + 3 * openness[:, party, None, None]) & (np.abs(across) < 8)
        half = images[:, :, party * _WIDTH // 2 : (party + 1) * _WIDTH // 2]
        half[mouth] = 20
    return images.astype(np.uint8)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m mm_emotion.data.miniature", description=__doc__)
    parser.add_argument("folder", type=Path, help="a new or empty folder, or an earlier miniature")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dialogues", type=int, default=120)
    options = parser.parse_args()
    print(f"wrote {write_miniature(options.folder, options.seed, options.dialogues)}")
