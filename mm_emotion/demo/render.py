"""A reading as plain HTML that a keyboard, a screen reader and a telephone can use."""

from collections.abc import Sequence
from html import escape

import numpy as np

from mm_emotion.demo.reading import Reading

STYLE = """
.mme {font-size: 0.95rem}
.mme p, .mme .words {overflow-wrap: anywhere}
.mme .line {display: flex; flex-wrap: wrap; gap: 2px; margin: 0.4rem 0 1rem}
.mme .piece {padding: 0.35rem 0.3rem; border-radius: 4px; color: #fff; min-width: max-content; text-align: center;
  font-size: 0.8rem}
.mme table {border-collapse: collapse; width: 100%}
.mme table, .mme table tr {border: 0}
.mme table th, .mme table td {text-align: left; padding: 0.25rem 0.5rem; vertical-align: top; border: 0 solid #8884;
  border-bottom-width: 1px}
.mme table.plain {width: auto}
.mme td.time {white-space: nowrap}
.mme meter {width: 4.8rem; height: 0.8rem; vertical-align: middle}
.mme .signed {display: inline-block; position: relative; width: 4.8rem; height: 0.6rem; border-radius: 2px;
  background: linear-gradient(90deg, #8884 49%, #888 49%, #888 51%, #8884 51%); vertical-align: middle}
.mme .signed i {position: absolute; top: 0; bottom: 0; background: #2f86cc}
.mme .signed .below {background: #d0672a}
.mme .scores > span {display: inline-block; min-width: 7.7rem; margin-right: 0.5rem}
.mme table.looks td {width: 1.9rem; padding: 0.25rem 0; text-align: center; font-size: 0.75rem}
.mme .scroll {overflow-x: auto}
.mme .scroll:focus-visible {outline: 2px solid #2f86cc}
.mme [role=alert] {border-left: 4px solid #b42318; padding: 0.5rem 0.8rem}
@media (max-width: 40rem) {
  .mme .scored, .mme .scored tbody, .mme .scored tr {display: block}
  .mme .scored .head {display: none}
  .mme table.scored tr {border-bottom: 1px solid #8884; padding: 0.5rem 0}
  .mme table.scored td {display: inline-block; border: 0; padding: 0.1rem 0.5rem 0.1rem 0}
  .mme table.scored td.words, .mme table.scored td.scores {display: block}
  .mme table.scored td:empty {display: none}
  .mme table.plain th, .mme table.plain td {padding: 0.25rem 0.2rem}
}
"""

_COLOURS = ("#0b62a4", "#a8480c", "#0a6b4e", "#8f2f73", "#6e5600", "#4b5563", "#14708f", "#6d4410")
_LOOKS_AT_MOST = 40  # utterances, beyond which nobody reads a table of every pair of them


def problem(text: str) -> str:
    """One line that says what is wrong."""
    return f'<div class="mme"><p role="alert">{escape(text)}</p></div>'


def reading_html(reading: Reading, newest_first: bool = False) -> str:
    """The timeline, the table of scores, and, where there are any, contributions and attention."""
    parts = [
        timelines(reading) if reading.is_regression else timeline(reading.utterances),
        scores(reading, newest_first),
    ]
    if reading.contributions:
        parts.append(contributions(reading))
    if reading.attention is not None and 1 < len(reading.utterances) <= _LOOKS_AT_MOST:
        parts.append(attention(reading.attention))
    return f'<div class="mme">{"".join(parts)}</div>'


def timeline(utterances: Sequence[dict]) -> str:
    """One piece an utterance, as wide as it is long in time where times are known."""
    names = list(utterances[0]["scores"])
    pieces = []
    for number, row in enumerate(utterances, 1):
        colour = _COLOURS[names.index(row["label"]) % len(_COLOURS)]
        pieces.append(_piece(row, f"background: {colour}", f"{number} {row['label']}"))
    spoken = "Emotions in order: " + ", ".join(row["label"] for row in utterances)
    return f"<h2>Timeline</h2>{_line(spoken, pieces)}"


def timelines(reading: Reading) -> str:
    """Of a regression one line a dimension: blue above 0, red below, the stronger the further from it."""
    most, lines = _most(reading.utterances), []
    for name in reading.utterances[0]["scores"]:
        values = [row["scores"][name] for row in reading.utterances]
        pieces = [
            _piece(row, _shade(value / most), _change(value))
            for row, value in zip(reading.utterances, values, strict=True)
        ]
        spoken = f"{name} in order: " + ", ".join(map(_change, values))
        lines.append(f"<b>{escape(name)}</b>{_line(spoken, pieces)}")
    return f"<h2>Timeline</h2>{''.join(lines)}"


def scores(reading: Reading, newest_first: bool = False) -> str:
    """One row an utterance: when, who, what, the label, and every class or dimension with a bar."""
    told = {
        "time": _times,
        "speaker": lambda row: str(row.get("speaker", "")),
        "words": lambda row: row.get("text", ""),
    }
    told = {name: tell for name, tell in told.items() if any(map(tell, reading.utterances))}
    most, rows = _most(reading.utterances), []
    for number, row in enumerate(reading.utterances, 1):
        cells = "".join(f'<td class="{name}">{escape(tell(row))}</td>' for name, tell in told.items())
        if reading.is_regression:
            bars = [(name, f"{_signed(value / most)} {_change(value)}") for name, value in row["scores"].items()]
        else:
            cells += f"<td><b>{escape(row['label'])}</b></td>"
            ordered = sorted(row["scores"].items(), key=lambda item: -item[1])
            bars = [(name, f"{_bar(value)} {value:.2f}") for name, value in ordered]
        bars = "".join(f"<span>{escape(name)}<br>{bar}</span>" for name, bar in bars)
        rows.append(f'<tr><td>{number}</td>{cells}<td class="scores">{bars}</td></tr>')
    if newest_first:
        rows.reverse()
    last = ("values",) if reading.is_regression else ("emotion", "scores")
    head = "".join(f"<th scope='col'>{name}</th>" for name in ("no.", *told, *last))
    return f'<h2>Utterances</h2><table class="scored"><tr class="head">{head}</tr>{"".join(rows)}</table>'


def contributions(reading: Reading) -> str:
    """For each utterance what its label, or each dimension, would lose without each modality."""
    names = list(reading.contributions)
    rows = []
    for index in range(len(reading.utterances)):
        for label in reading.contributions[names[0]][index]:
            cells = "".join(f"<td>{_change(reading.contributions[name][index][label])}</td>" for name in names)
            rows.append(f"<tr><td>{index + 1}</td><td>{escape(label)}</td>{cells}</tr>")
    what, column = ("value of a dimension", "dimension") if reading.is_regression else ("score of the label", "emotion")
    note = f"What the {what} loses when a modality is left out; below 0 it gains."
    head = "".join(f"<th scope='col'>{name}</th>" for name in ("no.", column, *names))
    table = f'<table class="plain"><tr>{head}</tr>{"".join(rows)}</table>'
    return f"<h2>Contribution of each modality</h2><p>{note}</p>{_scrolled('Contributions', table)}"


def attention(weights: np.ndarray) -> str:
    """A table of weights (U, U): a row is the utterance that looks, a column the one looked at."""
    count = range(len(weights))
    head = "".join(f"<th scope='col'>{index + 1}</th>" for index in count)
    rows = []
    for index in count:
        cells = "".join(f'<td style="{_shade(w)}" title="{w:.3f}">{100 * w:.0f}</td>' for w in weights[index])
        rows.append(f"<tr><th scope='row'>{index + 1}</th>{cells}</tr>")
    note = "Percent of attention of each utterance (row) on the others (columns)."
    table = f'<table class="plain looks"><tr><td></td>{head}</tr>{"".join(rows)}</table>'
    return f"<h2>Attention over the conversation</h2><p>{note}</p>{_scrolled('Attention', table)}"


def _scrolled(name: str, table: str) -> str:
    """A table that may be wider than the page, with a tab stop, as a keyboard could not scroll it otherwise."""
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{name}">{table}</div>'


def _line(spoken: str, pieces: list[str]) -> str:
    return f'<div class="line" role="img" aria-label="{escape(spoken)}">{"".join(pieces)}</div>'


def _piece(row: dict, style: str, content: str) -> str:
    width = max(row["end"] - row["start"], 0.2) if "start" in row and "end" in row else 1.0
    title = escape(f"{_times(row)} {row.get('speaker', '')} {row.get('text', '')}".strip())
    return f'<span class="piece" title="{title}" style="flex: {width:.2f} 1 0; {style}">{escape(content)}</span>'


def _bar(value: float) -> str:
    return f'<meter min="0" max="1" value="{min(max(value, 0), 1):.3f}"></meter>'


def _signed(share: float) -> str:
    """A bar from the middle, `share` in [-1, 1]."""
    width = 50 * abs(share)
    left, side = (50, "above") if share >= 0 else (50 - width, "below")
    filled = f'<i class="{side}" style="left: {left:.1f}%; width: {width:.1f}%"></i>'
    return f'<span class="signed" aria-hidden="true">{filled}</span>'


def _shade(share: float) -> str:
    """Blue above 0, red below; white on what is dark enough for it in a light and in a dark page."""
    share = float(np.clip(share, -1, 1))
    colour = "11, 98, 164" if share >= 0 else "168, 72, 12"
    return f"background: rgba({colour}, {abs(share):.2f}); color: {'#fff' if abs(share) > 0.7 else 'inherit'}"


def _most(utterances: Sequence[dict]) -> float:
    """The end of the scale of values: 1, or the largest without its sign."""
    return max(1.0, *(abs(value) for row in utterances for value in row["scores"].values()))


def _change(value: float) -> str:
    return f"{round(value, 2) + 0.0:+.2f}"  # no -0.00


def _times(row: dict) -> str:
    return f"{row['start']:.1f} to {row['end']:.1f} s" if "start" in row and "end" in row else ""
