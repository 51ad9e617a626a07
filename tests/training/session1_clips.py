"""Prepared rows of the 129 utterances of IEMOCAP's first session whose pictures lie beside the utterance table.

    python tests/training/session1_clips.py <folder of the corpora> <new folder>

The folder holds licensed material, as the corpus does: it is for `--data`, and for nobody else.
"""

import json
import sys
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, Features, List, Value

from mm_emotion.data.rows import CONTRACT_COLUMNS
from mm_emotion.schema import IEMOCAP_CODES, LABEL_SETS

RATE = 32  # pictures a second: 16 of them last 0.5 s, less than any utterance, so a file is its utterance's own


def prepare(root: Path, out: Path) -> Path:
    """Write rows with words, eGeMAPS values and the frames of each utterance as a lossless video; returns `out`."""
    arrays = np.load(root / "iemocap" / "session1_129clips_multimodal.npz", allow_pickle=False)
    place = {str(name): index for index, name in enumerate(arrays["utt_id"])}
    lines = (root / "iemocap" / "utterances.jsonl").read_text(encoding="utf-8").splitlines()
    table = [row for row in map(json.loads, lines) if row["utt_id"] in place]
    table.sort(key=lambda row: (row["dialogue"], row["start"], row["utt_id"]))
    (out / "video").mkdir(parents=True)
    names = list(LABEL_SETS["iemocap"]["all"])
    rows, spoken = [], {}
    for row in table:
        name, index = row["utt_id"], place[row["utt_id"]]
        parties, position = spoken.setdefault(row["dialogue"], ({}, []))
        video = out / "video" / f"{name}.mkv"
        write_frames(video, arrays["frames16_gray64x112"][index])
        rows.append(
            {
                "utterance_id": name,
                "dialogue_id": row["dialogue"],
                "position": len(position),
                "party": parties.setdefault(row["speaker"], len(parties)),
                "speaker": f"Ses01_{row['speaker']}",
                "transcript": row["text"],
                "audio_path": "",
                "video_path": str(video),
                "start": row["start"],
                "end": row["end"],
                "split": "session1",
                "label": names.index(IEMOCAP_CODES[str(arrays["emotion"][index])]),
                "audio": arrays["egemaps88"][index].tolist(),
            }
        )
        position.append(name)
    kinds = Features({**CONTRACT_COLUMNS, "label": ClassLabel(names=names), "audio": List(Value("float32"))})
    dataset = Dataset.from_list(rows, features=kinds)
    dataset.to_parquet(out / "rows.parquet")
    return out


def write_frames(path: Path, frames: np.ndarray) -> None:
    """Grey pictures (F, Y, X) uint8 as a video without loss."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:], "gray"
        stream.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())


if __name__ == "__main__":
    print(prepare(Path(sys.argv[1]), Path(sys.argv[2])))
