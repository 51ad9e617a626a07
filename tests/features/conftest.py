"""Tiny generated media."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE = 16000


def write_video(
    path: Path, *, seconds=2.0, rate=10, size=(32, 24), audio_rate=8000, codec="mpeg4", keyframes=12
) -> Path:
    """A clip whose frame k is grey of level 20 + 10 (k mod 20), with a ramp of sound in two channels, 0 and 2 x ramp.

    `audio_rate` None leaves the sound out, `rate` None the picture.
    """
    import av

    with av.open(str(path), "w") as container:
        if rate is not None:
            stream = container.add_stream(codec, rate=rate, options={"g": str(keyframes)})
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            stream.thread_count = 1
            stream.bit_rate = 2_000_000
        if audio_rate is not None:
            track = container.add_stream("pcm_s16le", rate=audio_rate, layout="stereo")
        for number in range(round(seconds * rate) if rate else 0):
            image = np.full((size[1], size[0]), 20 + 10 * (number % 20), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="gray")))
        if rate is not None:
            container.mux(stream.encode())
        if audio_rate is not None:
            count = round(seconds * audio_rate)
            ramp = np.linspace(0, 0.4, count, endpoint=False)
            samples = (np.stack([np.zeros(count), 2 * ramp], axis=1).ravel() * 32768).astype("<i2")
            for first in range(0, count, 1000):
                block = samples[2 * first : 2 * (first + 1000)].reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(block, format="s16", layout="stereo")
                frame.sample_rate, frame.pts = audio_rate, first
                container.mux(track.encode(frame))
            container.mux(track.encode())
    return path


def write_markers(folder: Path, utterance: str, start: float, end: float, rows: int = 50) -> dict[str, Path]:
    """Motion files whose columns are k + t: k the number of the column, t the time in s."""
    from mm_emotion.features.mocap import FACE_MARKERS

    names = {"rotated": FACE_MARKERS, "hand": ("RH1", "RH2", "RH3", "LH1", "LH2", "LH3")}
    names["head"] = ("pitch", "roll", "yaw", "tra_x", "tra_y", "tra_z")
    files = {}
    for kind, markers in names.items():
        width = len(markers) * (1 if kind == "head" else 3)
        times = np.linspace(start, end, rows)
        lines = ["Frame# Time " + " ".join(markers), " ".join(["X"] * width)]
        lines += [f"{n} {t:.6f} " + " ".join(f"{k + t:.6f}" for k in range(width)) for n, t in enumerate(times)]
        files[kind] = folder / f"MOCAP_{kind}" / utterance.rsplit("_", 1)[0] / f"{utterance}.txt"
        files[kind].parent.mkdir(parents=True, exist_ok=True)
        files[kind].write_text("\n".join(lines) + "\n", encoding="utf-8")
    return files


def noise(seed: int, seconds: float = 0.5, rate: int = RATE) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(int(seconds * rate))


def write_noise(path: Path, seed: int, seconds: float = 0.5) -> Path:
    soundfile.write(path, noise(seed, seconds), RATE, subtype="FLOAT")
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """Two seconds of picture at 10 frames per s and sound at 8 kHz, with an index and a key frame every 1.2 s."""
    return write_video(tmp_path_factory.mktemp("clip") / "clip.avi")


@pytest.fixture(scope="session")
def make():
    """The writers of generated media, by name."""
    return {"video": write_video, "markers": write_markers, "noise": write_noise}
