"""Run with: pytest tests/report/test_page.py. The page apart from its words; tests/browser has it in a real browser."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from importlib.resources import files
from pathlib import Path

import pytest

from cgd.report.html import write_html
from cgd.store import Store
from tests.builders import add_comparison, make_manifest
from tests.report.contrast import contrast
from tests.report.made_run import fill_run
from tests.report.pages import Page, summary_of, without_plotly, write


def test_the_page_loads_nothing_and_holds_plotly_once(store: Store, tmp_path: Path) -> None:
    add_comparison(store)
    html, _ = write(tmp_path, store)
    page = Page(without_plotly(html))
    for tag, attributes in page.tags:
        assert not {"src", "srcset", "action", "poster"} & attributes.keys(), f"<{tag} {attributes}>"
        assert re.match(r"#|data:text/csv;", attributes.get("href") or "#"), f"<{tag} {attributes}>"
    assert not re.search(r"https?://|@import|url\(", without_plotly(html))
    assert sum(len(script) > 1_000_000 for script in re.findall(r"<script>.*?</script>", html, re.DOTALL)) == 1
    policy = [tag for tag in page.all("meta") if tag.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in str(policy[0]["content"])


def test_the_page_can_be_read_without_eyes(store: Store, tmp_path: Path) -> None:
    add_comparison(store)
    page = Page(without_plotly(write(tmp_path, store)[0]))
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("caption")) == len(page.all("table")) > 4
    plots = [tag for tag in page.all("div") if tag.get("class") == "plot"]
    assert [str(plot["aria-label"])[:24] for plot in plots] == [
        *(
            "Accuracy by arm on sums:",
            "Length of replies on sum",
            "Length of drafts, critiq",
            "Training loss on the tar",
        )
    ]
    assert all(plot["role"] == "img" for plot in plots)


def test_figures_carry_the_numbers_of_the_summary(store: Store, tmp_path: Path) -> None:
    add_comparison(store, seeds=2)
    page = Page(without_plotly(write(tmp_path, store)[0]))
    accuracy, *_, loss = [json.loads(str(tag["data-figure"])) for tag in page.all("div") if "data-figure" in tag]
    strict = accuracy["data"][0]
    assert (strict["name"], strict["y"]) == ("strict", ["base", "sft", "cgd"])
    assert strict["x"] == pytest.approx([20.0, 50.0, 700 / 9])
    lower = summary_of(store)["arms"]["base"]["ci95"][0]
    assert strict["error_x"]["arrayminus"][0] == pytest.approx(20 - 100 * lower)
    assert [curve["showlegend"] for curve in loss["data"]] == [False, False, True] * 2, "one entry an arm, its mean"
    assert loss["data"][0]["y"] == pytest.approx([2.0, 1.0, 2 / 3])


def test_each_figure_has_its_numbers_beside_it_and_in_the_page(store: Store, tmp_path: Path) -> None:
    add_comparison(store)
    page = Page(without_plotly(write(tmp_path, store)[0]))
    links = [link for link in page.all("a") if "download" in link]
    held = {str(link["download"]): b64decode(str(link["href"]).partition(",")[2]) for link in links}
    assert len(held) == len([tag for tag in page.all("div") if "data-figure" in tag]) == 4
    assert held == {path.name: path.read_bytes() for path in (tmp_path / "report" / "figures").iterdir()}


def test_links_within_the_page_lead_to_its_sections(store: Store, tmp_path: Path) -> None:
    add_comparison(store)
    page = Page(without_plotly(write(tmp_path, store)[0]))
    within = [str(link["href"])[1:] for link in page.all("a") if "download" not in link]
    assert within == ["results", "measures", "data", "training", "records", "predictions", "manifest"]
    assert set(within) <= {head["id"] for head in page.all("h2")}


def test_no_level_of_headings_is_skipped(store: Store, tmp_path: Path) -> None:
    add_comparison(store)
    tags = [tag for tag, _ in Page(without_plotly(write(tmp_path, store)[0])).tags if re.fullmatch("h[1-6]", tag)]
    levels = [int(tag[1]) for tag in tags]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    assert 3 in levels


def test_every_column_has_a_name(store: Store, tmp_path: Path) -> None:
    made = fill_run(store)
    html = write_html(tmp_path, made.summary, made.manifest, store, 3, made.analysis).read_text("utf-8")
    assert "Verdicts of the critiques" in html
    assert not re.search(r"<th[^>]*>\s*</th>", html)


def test_many_sentences_are_folded_and_the_first_stays(store: Store, tmp_path: Path) -> None:
    add_comparison(store)
    summary = summary_of(store)
    assert "The same in words" not in write_html(tmp_path, summary, make_manifest(), store, 0).read_text("utf-8")
    summary["tasks"]["sums"]["words"] = [f"Sentence {number}." for number in range(8)]
    html = write_html(tmp_path, summary, make_manifest(), store, 0).read_text("utf-8")
    assert "<p>Sentence 0.</p>" in html
    assert 'pair by pair <span class="note">7 sentences' in html
    assert html.count("<li>Sentence") == 7


def test_a_long_table_is_folded(store: Store, tmp_path: Path) -> None:
    add_comparison(store, seeds=9)
    html, _ = write(tmp_path, store)
    assert re.search(r"<summary>Trained students <span class=\"note\">18 rows</span></summary>", html)


@pytest.mark.parametrize("theme", [0, 1])
def test_every_colour_of_text_can_be_read(theme: int) -> None:
    """By 4.5 to 1, as WCAG 2.2 asks of text (1.4.3): light colours stand first in the style sheet, dark ones next."""
    css = files("cgd.report").joinpath("page.css").read_text("utf-8")
    names = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", css.split(":root {")[1 + theme]))
    assert len(names) == 9
    for ink in ("ink", "quiet", "link", "good", "bad"):
        for paper in ("page", "card", "tint"):
            assert contrast(names[ink], names[paper]) >= 4.5, (ink, paper)


def test_a_page_without_figures_leaves_plotly_out(store: Store, tmp_path: Path) -> None:
    assert len(write(tmp_path, store)[0]) < 100_000
