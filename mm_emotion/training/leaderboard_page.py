"""The results of `RESULTS.md` as one static page, which needs nothing but itself."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from mm_emotion.atomic import replace_file
from mm_emotion.training.report import SECTIONS, ResultTable, read_tables

_KINDS = {"weighted_f1": "Classes, percent", "mean_absolute_error": "Ratings and sentiment, on their own scale"}

_STYLE = """
:root { color-scheme: light dark; --back: #ffffff; --text: #1c1c1c; --line: #c4c4c4; --head: #efefef; --link: #0b57a4 }
@media (prefers-color-scheme: dark) {
  :root { --back: #161616; --text: #ececec; --line: #4a4a4a; --head: #282828; --link: #8ec2ff }
}
body { margin: 0 auto; padding: 1rem; max-width: 120rem; background: var(--back); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif }
a { color: var(--link) }
.scroll { overflow-x: auto; scroll-padding-left: 9rem; border: 1px solid var(--line) }
.scroll:focus-visible, button:focus-visible { outline: 3px solid var(--link) }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; width: 100% }
caption { text-align: left; padding: .5rem; font-weight: 600 }
th, td { padding: .35rem .5rem; border-top: 1px solid var(--line); text-align: left; white-space: nowrap }
tr > :first-child { position: sticky; left: 0; background: var(--back); white-space: normal; overflow-wrap: anywhere;
  min-width: 8rem; border-right: 1px solid var(--line) }
td:nth-child(3) { white-space: normal; min-width: 8rem }
@media (min-width: 60rem) {
  tr > :first-child { min-width: 22rem }
  .scroll { scroll-padding-left: 24rem }
}
thead tr > th, thead tr > :first-child { background: var(--head) }
th button { all: unset; cursor: pointer; min-height: 1.5rem }
th[aria-sort=ascending] button::after { content: " \\2191" }
th[aria-sort=descending] button::after { content: " \\2193" }
"""

_SCRIPT = """
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const value = (row, column) => row.cells[column].textContent;
  const number = text => parseFloat(text.replaceAll(",", ""));
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const compare = (first, second) => {
        const [a, b] = [value(first, column), value(second, column)];
        if (!a || !b) return !a - !b;
        const order = isNaN(number(a)) || isNaN(number(b)) ? a.localeCompare(b) : number(a) - number(b);
        return down ? -order : order;
      };
      body.append(...[...body.rows].sort(compare));
    });
  });
}
"""


def render_page(tables: Sequence[ResultTable]) -> str:
    """HTML of the tables, strict and legacy in sections of their own; where scripts run, a head sorts by its column."""
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n<title>Results of mm_emotion</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>Results of mm_emotion</h1>\n"
        "<p>Every row comes from a run: mean ± standard deviation over seeds. The interval is a bootstrap over test "
        "dialogues, averaged over seeds.</p>\n"
    ]
    for is_legacy, (title, explanation) in SECTIONS.items():
        section = [table for table in tables if table.is_legacy == is_legacy]
        if section:
            name = "legacy" if is_legacy else "strict"
            parts.append(f'<section id="{name}" aria-labelledby="{name}-title">\n<h2 id="{name}-title">')
            parts.append(f"{escape(title)}</h2>\n<p>{escape(explanation)}</p>\n")
            parts += [_table(table, title) for table in section]
            parts.append("</section>\n")
    if not tables:
        parts.append("<p>No results yet.</p>\n")
    return "".join(parts) + f"</main>\n<script>{_SCRIPT}</script>\n</body>\n</html>\n"


def write_page(results: Path, page: Path) -> None:
    """Render a results file into an HTML file."""
    text = render_page(read_tables(results))
    with replace_file(page) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _table(table: ResultTable, title: str) -> str:
    caption = escape(f"{title}: {_KINDS[table.chief]}")
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.header)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in rest)}</tr>\n'
        for first, *rest in table.rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}">\n'
        f"<table>\n<caption>{caption}</caption>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n"
    )
