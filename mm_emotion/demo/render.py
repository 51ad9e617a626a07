"""A reading as plain HTML that a keyboard, a screen reader and a telephone can use."""

from collections.abc import Sequence
from html import escape

import numpy as np

from mm_emotion.demo.reading import Reading

STYLE = """
.mme {font-size: 0.95rem}
.mme .line {display: flex; gap: 2px; width: 100%; overflow-x: auto; margin: 0.4rem 0 1rem}
.mme .piece {padding: 0.35rem 0.3rem; border-radius: 4px; color: #fff; min-width: 3.2rem; text-align: center;
  font-size: 0.8rem; overflow: hidden; text-overflow: ellipsis}
.mme table {border-collapse: collapse; width: 100%}
.mme th, .mme td {text-align: left; padding: 0.25rem 0.5rem; vertical-align: top; border-bottom: 1px solid #8884}
.mme meter {width: 5.5rem; height: 0.8rem; vertical-align: middle}
.mme .scores span {display: inline-block; min-width: 5.6rem; margin-right: 0.8rem}
.mme table.looks {width: auto}
.mme .looks td {width: 1.6rem; height: 1.6rem; padding: 0; text-align: center; font-size: 0.7rem}
.mme .scroll {overflow-x: auto}
.mme [role=alert] {border-left: 4px solid #b42318; padding: 0.5rem 0.8rem}
@media (max-width: 40rem) {
  .mme table.scored, .mme .scored tbody, .mme .scored tr, .mme .scored td {display: block; border: 0; padding: 0.1rem 0}
  .mme .scored tr {border-bottom: 1px solid #8884; padding: 0.5rem 0} .mme .scored .head {display: none}
}
"""

_COLOURS = ("#0b62a4", "#a8480c", "#0a6b4e", "#8f2f73", "#6e5600", "#4b5563", "#14708f", "#6d4410")


def problem(text: str) -> str:
    """One line that says what is wrong."""
    return f'<div class="mme"><p role="alert">{escape(text)}</p></div>'


def reading_html(reading: Reading) -> str:
    """The timeline, the table of scores, and, where there are any, contributions and attention."""
    parts = [timeline(reading.utterances), scores(reading.utterances)]
    if reading.contributions:
        parts.append(contributions(reading))
    if reading.attention is not None and len(reading.utterances) > 1:
        parts.append(attention(reading.attention))
    return f'<div class="mme">{"".join(parts)}</div>'


def timeline(utterances: Sequence[dict]) -> str:
    """One piece an utterance, as wide as it is long in time where times are known."""
    names = list(utterances[0]["scores"])
    pieces = []
    for row in utterances:
        width = max(row["end"] - row["start"], 0.2) if "start" in row and "end" in row else 1.0
        colour = _COLOURS[names.index(row["label"]) % len(_COLOURS)]
        title = escape(f"{_times(row)} {row.get('speaker', '')} {row.get('text', '')}".strip())
        pieces.append(
            f'<span class="piece" title="{title}" style="flex: {width:.2f} 1 0; background: {colour}">'
            f"{escape(row['label'])}</span>"
        )
    return f'<h3>Timeline</h3><div class="line" role="img" aria-label="{_spoken(utterances)}">{"".join(pieces)}</div>'


def scores(utterances: Sequence[dict]) -> str:
    """One row an utterance: when, who, what, the label, and every class with a bar."""
    told = {
        "time": _times,
        "speaker": lambda row: str(row.get("speaker", "")),
        "words": lambda row: row.get("text", ""),
    }
    told = {name: tell for name, tell in told.items() if any(map(tell, utterances))}
    rows = []
    for row in utterances:
        bars = "".join(
            f"<span>{escape(name)}<br>{_bar(value)} {value:.2f}</span>"
            for name, value in sorted(row["scores"].items(), key=lambda item: -item[1])
        )
        cells = "".join(f"<td>{escape(tell(row))}</td>" for tell in told.values())
        rows.append(f'<tr>{cells}<td><b>{escape(row["label"])}</b></td><td class="scores">{bars}</td></tr>')
    head = "".join(f"<th scope='col'>{name}</th>" for name in (*told, "emotion", "scores"))
    table = f'<table class="scored"><tr class="head">{head}</tr>{"".join(rows)}</table>'
    return f'<h3>Utterances</h3><div class="scroll">{table}</div>'


def contributions(reading: Reading) -> str:
    """For each utterance what its label would lose without each modality."""
    names = list(reading.contributions)
    head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in names)
    rows = []
    for index, row in enumerate(reading.utterances):
        cells = "".join(f"<td>{reading.contributions[name][index]:+.2f}</td>" for name in names)
        rows.append(f"<tr><td>{index + 1}</td><td>{escape(row['label'])}</td>{cells}</tr>")
    note = "What the score of the label loses when a modality is left out; below 0 it gains."
    return (
        f'<h3>Contribution of each modality</h3><p>{note}</p><div class="scroll"><table>'
        f"<tr><th>utterance</th><th>emotion</th>{head}</tr>{''.join(rows)}</table></div>"
    )


def attention(weights: np.ndarray) -> str:
    """A table of weights (U, U): a row is the utterance that looks, a column the one looked at."""
    count = range(len(weights))
    head = "".join(f"<th scope='col'>{index + 1}</th>" for index in count)
    rows = []
    for index in count:
        cells = "".join(
            f'<td style="background: rgba(11, 98, 164, {min(float(w), 1):.2f}); '
            f'color: {"#fff" if w > 0.5 else "inherit"}" title="{w:.3f}">{100 * w:.0f}</td>'
            for w in weights[index]
        )
        rows.append(f"<tr><th scope='row'>{index + 1}</th>{cells}</tr>")
    note = "Percent of attention of each utterance (row) on the others (columns)."
    return (
        f'<h3>Attention over the conversation</h3><p>{note}</p><div class="scroll"><table class="looks">'
        f"<tr><th></th>{head}</tr>{''.join(rows)}</table></div>"
    )


def _bar(value: float) -> str:
    return f'<meter min="0" max="1" value="{min(max(value, 0), 1):.3f}"></meter>'


def _speaker(row: dict) -> str:
    return str(row.get("speaker", ""))


def _words(row: dict) -> str:
    return row.get("text", "")


def _times(row: dict) -> str:
    return f"{row['start']:.1f} to {row['end']:.1f} s" if "start" in row and "end" in row else ""


def _spoken(utterances: Sequence[dict]) -> str:
    return escape("Emotions in order: " + ", ".join(row["label"] for row in utterances))
