"""Screening in a real browser: paste or upload, rank, open molecules, take the files away; what a cell says stays text."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.app.conftest import Page
from tests.app.test_browser import UNNAMED, Visit
from tests.report.hostile import SCRIPTS, TRAVERSALS

pytest.importorskip("rdkit", reason="the extra 'chem' is not installed")


@pytest.fixture(scope="module")
def served(pages: Callable[..., Page]) -> Page:
    return pages()


@pytest.fixture
def visit(browser: Any, served: Page) -> Iterator[Visit]:
    found = Visit(browser, served)
    found.tab.set_default_timeout(90_000)
    found.go(f"{served.base}/screen")
    yield found
    assert found.foreign == []
    assert found.problems == []
    found.context.close()


def hostile_table() -> bytes:
    """Return a CSV whose names and structures are scripts and paths, each beside a molecule that can be screened."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["name", "smiles", "logp"])
    for k, word in enumerate([*SCRIPTS, *TRAVERSALS[:10]]):
        writer.writerow([word, "C" * (2 + k % 8) + "O", ""])
        writer.writerow([f"bad {k}", word, word])
    return text.getvalue().encode()


def upload(visit: Visit, name: str, content: bytes) -> None:
    visit.find("upload-table").locator("input[type=file]").set_input_files(
        {"name": name, "mimeType": "text/csv", "buffer": content}
    )
    visit.tab.get_by_text("received").first.wait_for()


def test_screen_from_paste_to_file(visit: Visit, served: Page) -> None:
    visit.tab.get_by_text("Give a table of molecules").wait_for()
    visit.find("run-button").click()
    visit.tab.get_by_text("molecules: got no file").wait_for()
    visit.tab.get_by_role("button", name="Paste").click()
    visit.tab.get_by_role("button", name="Fill in an example").click()
    visit.tab.wait_for_function("document.querySelector('[data-testid=paste]').value.includes('propranolol')")
    visit.find("check").click()
    visit.find("entries").wait_for()
    visit.find("run-button").click()
    visit.find("ranked").wait_for()
    assert visit.find("count").inner_text() == "7 rows: 7 screened, 0 rejected."
    names = "[...document.querySelectorAll('[data-testid=molecule]')].map(e => e.innerText).join()"
    by_rank = visit.tab.evaluate(names)
    visit.tab.get_by_role("button", name="TPSA", exact=False).click()
    visit.tab.wait_for_function(f"{names} !== '{by_rank}'")
    assert visit.find("ranked").locator("[aria-sort=ascending]").inner_text().startswith("TPSA")
    visit.find("find").fill("diaz")
    visit.tab.wait_for_function("document.querySelector('[data-testid=found]').innerText === '1 of 7'")
    visit.find("molecule").press("Enter")
    visit.find("molecule-card").wait_for()
    assert visit.find("molecule-name").inner_text() == "diazepam"
    visit.tab.wait_for_function("document.querySelector('[data-testid=structure]').naturalWidth > 0")
    assert "90 %" in visit.find("molecule-card").inner_text()
    visit.tab.get_by_text("About diazepam").wait_for()  # what the library knows of it
    visit.tab.get_by_role("button", name="worse ranked").click()
    visit.tab.wait_for_function("document.querySelector('[data-testid=molecule-name]').innerText !== 'diazepam'")
    visit.tab.keyboard.press("Escape")
    visit.find("molecule-card").wait_for(state="hidden")
    rows = list(csv.DictReader(io.StringIO(visit.fetch("screen.csv").read_text(encoding="utf-8"))))
    assert len(rows) == 7
    assert visit.fetch("rejects.csv").read_text(encoding="utf-8").startswith("row,name")
    assert "not for diagnosis" in visit.fetch("Report (HTML)").read_text(encoding="utf-8")
    run_id = visit.tab.url.partition("run=")[2]
    visit.go(f"{served.base}/runs")
    visit.find("open").first.click()
    visit.find("ranked").wait_for()
    assert run_id in visit.tab.url


def test_a_point_of_the_scatter_opens_its_molecule_and_axes_change(visit: Visit, served: Page) -> None:
    visit.go(f"{served.base}/runs")
    visit.find("open").first.click()
    points = visit.find("scatter").locator(".scatterlayer .point")
    points.first.wait_for()
    assert points.count() == 7
    shown = "(document.querySelector('[data-testid=scatter] .xtitle')?.textContent ?? '')"  # none while it is drawn again
    assert "TPSA" in visit.tab.evaluate(shown)
    points.first.hover(force=True)
    points.first.click(force=True)
    visit.find("molecule-card").wait_for()
    visit.tab.keyboard.press("Escape")
    visit.find("molecule-card").wait_for(state="hidden")
    visit.find("x").click()
    visit.tab.get_by_role("option", name="logP").click()
    visit.tab.wait_for_function(f"{shown}.includes('logP')")


def test_what_a_cell_says_is_text(visit: Visit, served: Page) -> None:
    upload(visit, "../<img src=x onerror=alert(1)>.csv", hostile_table())
    visit.find("check").click()
    visit.find("entries").wait_for()
    visit.find("run-button").click()
    visit.find("ranked").wait_for()
    visit.find("later").click()
    visit.find("later").wait_for()
    seen = visit.find("ranked").inner_text()
    visit.tab.get_by_role("button", name="earlier rows").click()
    visit.tab.wait_for_function("document.querySelector('[data-testid=ranked]')?.innerText.includes('1')")
    seen += visit.find("ranked").inner_text()
    for word in SCRIPTS:
        assert " ".join(word.split()) in " ".join(seen.split())
    assert "alert(1)" in visit.find("rejects").inner_text()
    for k in range(2):
        visit.find("molecule").nth(k).click()
        visit.find("molecule-card").wait_for()
        visit.tab.keyboard.press("Escape")
        visit.find("molecule-card").wait_for(state="hidden")
    points = visit.find("scatter").locator(".scatterlayer .point")
    points.first.hover(force=True)
    assert visit.tab.evaluate("document.querySelectorAll('main img[src=x], main iframe, [onerror], [onload]').length") == 0
    stored = [p.name for p in (served.workspace / "me" / "uploads").iterdir()]
    assert all(len(n) == 16 and n.endswith(".csv") for n in stored)


def test_a_table_without_molecules_and_one_that_breaks_say_so(visit: Visit) -> None:
    upload(visit, "numbers.csv", b"a,b\n1,2\n")
    visit.find("run-button").click()
    visit.tab.get_by_text("a header without molecules").first.wait_for()
    visit.tab.get_by_role("button", name="Paste").click()
    visit.find("paste").fill("C1CC(\nnonsense here\n")
    visit.find("run-button").click()
    visit.tab.get_by_text("No molecule could be screened").wait_for()
    assert visit.find("rejects").locator("tbody tr").count() == 2


def test_a_long_screen_shows_its_progress_and_goes_on_after_a_stop(visit: Visit, served: Page) -> None:
    rows = "".join(f"{'C' * (1 + k % 9)}{'N' * (k % 3)}O m{k}\n" for k in range(900))
    upload(visit, "library.smi", rows.encode())
    visit.find("run-button").click()
    bar = visit.find("progress")
    visit.tab.wait_for_function("+document.querySelector('[data-testid=progress]')?.ariaValueNow > 0")
    assert bar.count() == 1
    visit.tab.get_by_role("button", name="Stop").click()
    visit.tab.get_by_text("stopped").first.wait_for()
    run_id = visit.tab.url.partition("run=")[2]
    chunks = served.workspace / "me" / "runs" / run_id / "result" / "chunks"
    kept = {p.name: p.stat().st_mtime_ns for p in chunks.glob("chunk-*.json")}
    assert kept
    visit.tab.get_by_role("button", name="Run again").click()
    visit.find("ranked").wait_for()
    assert all((chunks / name).stat().st_mtime_ns == when for name, when in kept.items())
    assert visit.find("count").inner_text().startswith("900 rows")


@pytest.mark.parametrize("width", [420, 820, 1440])
def test_a_result_is_not_wider_than_the_window(browser: Any, served: Page, width: int) -> None:
    visit = Visit(browser, served, width)
    visit.tab.set_default_timeout(90_000)
    visit.go(f"{served.base}/runs")
    visit.find("open").last.click()
    visit.find("ranked").wait_for()
    assert visit.tab.evaluate("document.documentElement.scrollWidth") <= width + 1
    assert visit.tab.evaluate(UNNAMED) == []
    visit.context.close()


def test_smiles_files_have_no_header(tmp_path: Path) -> None:
    from krogh.io.molecule_table import names_molecules, read_molecules

    file = tmp_path / "x.smi"
    file.write_text("CCO  ethyl alcohol\n\nC\tmethane\n", encoding="utf-8")
    assert [(e.row, e.molecule, e.name) for e in read_molecules(file)] == [(1, "CCO", "ethyl alcohol"), (3, "C", "methane")]
    assert names_molecules('id,"SMILES"')
    assert not names_molecules("CCO,1")
