"""The page of results is well formed, escapes what it shows and keeps strict and legacy apart."""

import xml.etree.ElementTree as ElementTree

from mm_emotion.__main__ import main
from mm_emotion.training.evaluation import LEGACY, RESULT_COLUMNS, write_results
from mm_emotion.training.leaderboard_page import render_page


def write_rows(path, *runs):
    for name, selected_on, metric, value in runs:
        row = dict.fromkeys(RESULT_COLUMNS, "x")
        row |= {"recipe": name, "selected_on": selected_on, "metric": metric, "value": value}
        row |= {"fold": "test", "seed": 0, "causal": "true", "parameters": 1234, "versions": "torch=1"}
        write_results(path, [row])


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(without_script(text).removeprefix("<!DOCTYPE html>\n"))


def without_script(text: str) -> str:
    before, rest = text.split("<script>")
    return before + rest.split("</script>")[1]


def test_strict_and_legacy_are_sections_of_their_own(tmp_path, capsys):
    results, page = tmp_path / "results.csv", tmp_path / "page.html"
    write_rows(
        results,
        ("paper/one", "validation", "weighted_f1", 0.5),
        ("paper/one", LEGACY, "weighted_f1", 0.8),
        ("paper/number", "validation", "mean_absolute_error", 0.25),
    )
    assert main(["leaderboard", str(results), "--html", str(page)]) == 0
    assert str(page) in capsys.readouterr().err
    tree = parsed(page.read_text(encoding="utf-8"))
    strict, legacy = tree.findall(".//section")
    assert (strict.get("id"), legacy.get("id")) == ("strict", "legacy")
    assert [cell.text for cell in strict.findall(".//tbody/tr/th")] == ["paper/one", "paper/number"]
    assert {"50.0", "0.250"} <= {cell.text for cell in strict.iter("td")}
    assert "80.0" in {cell.text for cell in legacy.iter("td")}
    assert "80.0" not in {cell.text for cell in strict.iter("td")}


def test_every_cell_has_its_head_and_every_table_its_caption(tmp_path):
    results, page = tmp_path / "results.csv", tmp_path / "page.html"
    write_rows(results, ("paper/one", "validation", "weighted_f1", 0.5))
    main(["leaderboard", str(results), "--html", str(page)])
    (table,) = parsed(page.read_text(encoding="utf-8")).iter("table")
    heads = table.findall("./thead/tr/th")
    (row,) = table.findall("./tbody/tr")
    assert len(heads) == len(list(row)) and {head.get("scope") for head in heads} == {"col"}
    assert table.find("caption").text == "Strict: Classes, percent"


def test_names_are_text_and_never_markup(tmp_path):
    results, page = tmp_path / "results.csv", tmp_path / "page.html"
    write_rows(results, ("<script>alert('a & b')", "validation", "weighted_f1", 0.5))
    main(["leaderboard", str(results), "--html", str(page)])
    text = page.read_text(encoding="utf-8")
    assert text.count("<script>") == 1
    assert parsed(text).find(".//tbody/tr/th").text == "<script>alert('a & b')"


def test_the_page_needs_nothing_from_elsewhere_and_stands_without_results():
    text = render_page([])
    assert "No results yet" in text
    assert "http" not in text and "src=" not in text and "<link" not in text
    assert "prefers-color-scheme: dark" in text and "width=device-width" in text
