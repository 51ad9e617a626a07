"""Predicted utterances as a table for reading, or as JSON, csv or subtitles."""

import csv
import io
import json
from collections.abc import Sequence

from mm_emotion.errors import FeatureError

FORMATS = ("table", "json", "csv", "srt")

Inputs = Sequence[tuple[str, Sequence[dict]]]

_WIDTH, _SPEAKER = 56, 10  # characters of a transcript and of a speaker in the table, at most


def rendered(inputs: Inputs, kind: str) -> str:
    """The text of predictions, each input's name and its utterances, as one of `FORMATS`.

    Subtitles need `start` and `end` (s) of every utterance, and one input of one conversation. Errors: FeatureError for
    another format, or where these are missing.
    """
    makers = {"table": _table, "json": _json, "csv": _csv, "srt": _srt}
    if kind not in makers:
        raise FeatureError("format", f"one of {', '.join(FORMATS)}", repr(kind))
    return makers[kind](inputs)


def _table(inputs: Inputs) -> str:
    lines = []
    width = max(len(row["label"]) for _, rows in inputs for row in rows)
    timed = any("start" in row for _, rows in inputs for row in rows)
    every = [row for _, rows in inputs for row in rows]
    speakers = min(_SPEAKER, max(len(str(row.get("speaker", ""))) for row in every))
    words = min(_WIDTH, max(len(_said(row)) for row in every))
    for name, rows in inputs:
        if len(inputs) > 1:
            lines.append(name)
        for row in rows:
            text = _said(row)
            text = text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
            times = f"{_clock(row.get('start'))} – {_clock(row.get('end'))}  " if timed else ""
            labelled = f"   labelled {row['labelled']}" if row.get("labelled") else ""
            speaker = f"{str(row.get('speaker', ''))[:_SPEAKER]:{speakers}s}  " if speakers else ""
            text = f"{text:{words}s}  " if words else ""
            lines.append(f"{times}{speaker}{text}{row['label']:{width}s} {row['score']:5.2f}{labelled}")
    return "\n".join(lines) + "\n"


def _said(row: dict) -> str:
    return " ".join(row.get("text", "").split())


def _json(inputs: Inputs) -> str:
    given = [{"input": name, "utterances": list(rows)} for name, rows in inputs]
    return json.dumps(given[0]["utterances"] if len(given) == 1 else given, ensure_ascii=False, indent=2) + "\n"


def _csv(inputs: Inputs) -> str:
    rows = [
        {"input": name, **{key: row[key] for key in row if key != "scores"}, **row["scores"]}
        for name, rows in inputs
        for row in rows
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _srt(inputs: Inputs) -> str:
    if len(inputs) != 1:
        raise FeatureError("srt", "one input", len(inputs))
    ((_, rows),) = inputs
    if len(dialogues := list(dict.fromkeys(row.get("dialogue_id") for row in rows))) > 1:
        raise FeatureError(
            "srt", "one conversation", f"{len(dialogues)}, such as {dialogues[0]!r} and {dialogues[1]!r}"
        )
    blocks = []
    for number, row in enumerate(rows, 1):
        if "start" not in row or "end" not in row:
            raise FeatureError("srt", "start and end of every utterance", f"none for utterance {number}")
        if not 0 <= row["start"] <= row["end"]:
            raise FeatureError("srt", "0 <= start <= end", f"{row['start']} and {row['end']} in utterance {number}")
        speaker = f"{row['speaker']}: " if "speaker" in row else ""
        said = _said(row)
        line = f"{speaker}{said}\n" if speaker or said else ""
        times = f"{_stamp(row['start'])} --> {_stamp(row['end'])}"
        blocks.append(f"{number}\n{times}\n{line}[{row['label']} {row['score']:.2f}]\n")
    return "\n".join(blocks)


def _clock(seconds: float | None) -> str:
    """m:ss.s, right-aligned."""
    if seconds is None:
        return f"{'-':>8s}"
    minutes, tenths = divmod(round(seconds * 10), 600)
    return f"{minutes:3d}:{tenths // 10:02d}.{tenths % 10}"


def _stamp(seconds: float) -> str:
    """hh:mm:ss,mmm as subtitles have it."""
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{milliseconds // 1000:02d},{milliseconds % 1000:03d}"
