"""Each journey in a real browser, from the first page to the downloaded file; nothing is asked from anywhere else."""

from __future__ import annotations

import json
import os
import signal
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.app.conftest import Page
from tests.app.test_jobs import LONG
from tests.report.hostile import SCRIPTS

from krogh.app.jobs import Step, add_job, list_jobs
from krogh.app.workspace import Place

#: Far more than any step needs: a busy machine is not a fault of the page.
LIMIT_MS = 120_000
#: Controls without a name for a screen reader.
UNNAMED = """[...document.querySelectorAll('main button, main input:not([type=file])')].filter(e => !(
  e.ariaLabel || e.innerText || e.labels?.length || e.closest('label') || e.hasAttribute('aria-labelledby')
  || e.matches('.q-toggle__native'))).map(e => e.outerHTML.slice(0, 200))"""
#: How many of 21 positions of the time slider change the picture.
SCRUB = """() => { const [s, c] = ['time', 'section'].map(n => document.querySelector(`[data-testid=${n}]`));
  let n = 0, last = ''; for (let v = 0; v <= 1000; v += 50) { s.value = v; s.dispatchEvent(new Event('input'));
  const now = c.toDataURL(); n += now !== last; last = now; } return n; }"""


class Visit:
    """Hold one tab and everything that it asked for and complained about."""

    def __init__(self, browser: Any, page: Page, width: int = 1280) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, accept_downloads=True)
        self.tab = self.context.new_page()
        self.tab.set_default_timeout(LIMIT_MS)
        self.foreign: list[str] = []
        self.problems: list[str] = []
        own = (page.base, page.base.replace("http", "ws", 1), "data:", "blob:")
        self.tab.on("request", lambda r: None if r.url.startswith(own) else self.foreign.append(r.url))
        self.tab.on("pageerror", lambda e: self.problems.append(str(e)))
        self.tab.on("dialog", lambda d: (self.problems.append(f"dialog {d.message}"), d.dismiss()))
        self.go(next(iter(page.links.values())))

    def go(self, url: str) -> None:
        """Open a page and wait until its socket answers: a click before that may be lost."""
        self.tab.goto(url)
        self.tab.wait_for_function("window.did_handshake === true")

    def find(self, name: str) -> Any:
        return self.tab.get_by_test_id(name)

    def choose(self, *names: str) -> None:
        """Choose compounds one by one: the page holds a choice when its chip is there, and a choice before that replaces it."""
        for name in names:
            self.find("compounds").click()
            self.tab.keyboard.type(name)
            self.tab.get_by_role("option", name=name).first.click()
            self.tab.locator(".q-chip", has_text=name).wait_for()
            self.tab.keyboard.press("Escape")

    def pixels(self, name: str) -> str:
        """Return what a canvas shows."""
        return str(self.find(name).evaluate("c => c.toDataURL()"))

    def until_changed(self, name: str, before: str) -> None:
        """Wait until a canvas shows something else."""
        self.tab.wait_for_function(
            "([name, before]) => document.querySelector(`[data-testid=${name}]`).toDataURL() !== before",
            arg=[name, before],
            polling=100,
        )

    def fetch(self, words: str) -> Path:
        """Click a download and return the file."""
        with self.tab.expect_download() as waiting:
            self.tab.get_by_role("link", name=words, exact=True).click()
        return Path(waiting.value.path())


@pytest.fixture(scope="module")
def served(pages: Callable[..., Page]) -> Page:
    return pages()


@pytest.fixture
def visit(browser: Any, served: Page) -> Iterator[Visit]:
    found = Visit(browser, served)
    yield found
    assert found.foreign == []
    assert found.problems == []
    found.context.close()


def test_cross_from_search_to_file(visit: Visit) -> None:
    assert "not for diagnosis or dosing" in visit.find("notice").inner_text()
    assert "token" not in visit.tab.url
    assert visit.tab.evaluate("document.cookie") == ""
    visit.choose("levodopa", "mannitol")
    visit.find("about").first.click()
    visit.tab.get_by_text("Blank, since nobody").first.wait_for()
    visit.find("run-button").click()
    visit.find("curves").wait_for()
    visit.find("section").wait_for()
    visit.tab.wait_for_function("document.querySelector('[data-testid=section]').width > 400")
    assert visit.tab.evaluate(SCRUB) >= 15  # every position draws at once, in the browser: nothing is asked from the server
    visit.find("time").focus()
    visit.tab.keyboard.press("Home")
    early = visit.pixels("section")
    visit.find("play").click()
    visit.until_changed("section", early)
    visit.tab.wait_for_function("+document.querySelector('[data-testid=time]').value > 100")
    visit.find("play").click()
    before = visit.pixels("section")
    visit.find("section-compound").click()
    visit.tab.get_by_role("option", name="mannitol").click()
    visit.tab.wait_for_function("document.querySelector('[data-testid=section]').ariaLabel.startsWith('mannitol')")
    visit.until_changed("section", before)
    assert "levodopa" in visit.find("exposure").inner_text()
    text = visit.fetch("run.toml").read_text(encoding="utf-8")
    assert 'compounds = ["levodopa", "mannitol"]' in text
    assert "compound,quantity" in visit.fetch("summary.csv").read_text(encoding="utf-8")
    assert "not for diagnosis" in visit.fetch("Report (HTML)").read_text(encoding="utf-8")
    with zipfile.ZipFile(visit.fetch("Pictures (ZIP)")) as archive:
        assert "timecourse.png" in archive.namelist()


def test_errors_are_one_line_and_nothing_is_lost(visit: Visit) -> None:
    visit.find("run-button").click()
    visit.tab.get_by_text("compounds: got none chosen").wait_for()
    visit.choose("paliperidone")
    visit.find("run-button").click()
    visit.tab.locator(".q-notification", has_text="fu_brain").wait_for()  # a blank that the command would refuse too
    visit.choose("levodopa")
    visit.find("duration").fill("one day")
    visit.tab.locator(".q-chip", has_text="paliperidone").get_by_label("Remove").click()
    visit.tab.locator(".q-chip", has_text="paliperidone").wait_for(state="detached")
    visit.find("run-button").click()
    visit.tab.locator(".q-notification", has_text="one day").wait_for()
    assert visit.tab.locator(".q-chip", has_text="levodopa").is_visible()
    assert visit.find("duration").input_value() == "one day"


def test_measure_from_head_to_curve(visit: Visit, served: Page) -> None:
    visit.go(f"{served.base}/measure")
    visit.find("check").click()
    visit.find("protocol").wait_for()
    assert "8 volumes" in visit.tab.locator("main").inner_text()
    visit.tab.get_by_label("Voxel [mm]").fill("8")
    visit.find("run-button").click()
    visit.find("brain1").wait_for()
    visit.find("voxel-curve").wait_for()
    first, words = visit.pixels("brain0"), visit.find("where").inner_text()
    beside = visit.pixels("brain1")
    visit.find("brain0").focus()
    visit.tab.keyboard.press("PageUp")
    visit.tab.wait_for_function(f"document.querySelector('[data-testid=where]').innerText !== {json.dumps(words)}")
    visit.until_changed("brain0", first)
    visit.until_changed("brain1", beside)  # the cross-hair is one for both
    before = visit.pixels("brain0")
    visit.find("opacity").focus()
    visit.tab.keyboard.press("Home")
    visit.until_changed("brain0", before)
    assert "grey matter" in visit.find("regions").inner_text()
    assert "AXR of this voxel" in visit.find("voxel-words").inner_text()
    assert visit.fetch("regions.tsv").read_text(encoding="utf-8").startswith("label\tregion")


def test_upload_of_a_broken_scan_is_refused_in_words(visit: Visit, served: Page) -> None:
    visit.go(f"{served.base}/measure")
    visit.tab.get_by_role("button", name="My files").click()
    file = visit.find("upload-scan").locator("input[type=file]")
    file.set_input_files(
        {"name": "../../<img src=x onerror=alert(1)>.nii.gz", "mimeType": "application/gzip", "buffer": b"no scan"}
    )
    visit.tab.get_by_text("received").wait_for()
    visit.find("check").click()
    visit.tab.locator(".q-notification.bg-negative").first.wait_for()
    names = [p.name for p in (served.workspace / "me" / "uploads").iterdir()]
    assert len(names) == 1
    assert names[0].endswith(".nii.gz")
    assert len(names[0]) == 19


def test_water_stands_beside_drugs(browser: Any, pages: Callable[..., Page]) -> None:
    served = pages()
    visit = Visit(browser, served)
    place = Place("me", served.workspace / "me")
    drug = Step(("simulate", "caffeine", "--duration", "1 h", "--no-pictures", "--netcdf"))
    settings = {"settings": {"compounds": ["caffeine"]}}
    add_job(place, "cross", "a drug", [drug], {}, settings)
    visit.go(f"{served.base}/link")
    visit.tab.locator(".krogh-empty").wait_for()  # says what is missing
    visit.go(f"{served.base}/measure")
    visit.tab.get_by_label("Voxel [mm]").fill("12")
    visit.find("run-button").click()
    visit.find("brain1").wait_for()
    while not {"cross", "measure"} <= {j.kind for j in list_jobs(place) if j.state == "done"}:
        assert all(j.active or j.state == "done" for j in list_jobs(place))
        visit.tab.wait_for_timeout(200)
    visit.go(f"{served.base}/link")
    visit.find("link").wait_for()
    assert visit.foreign == []
    visit.context.close()


def test_hostile_titles_stay_text(visit: Visit, served: Page) -> None:
    place = Place("me", served.workspace / "me")
    for text in SCRIPTS:
        run_id = add_job(place, "cross", text, [Step(("simulate",))], {}, {"settings": {"duration": text, "dose": {text: text}}})
        (place.runs / run_id / "stopped").touch()
    visit.go(f"{served.base}/runs")
    visit.find("run").nth(len(SCRIPTS) - 1).wait_for()
    shown = visit.tab.locator("main").inner_text()
    for text in SCRIPTS:
        assert " ".join(text.split()) in shown
    visit.go(f"{served.base}/?run={run_id}")
    visit.find("state").wait_for()


def test_a_page_that_was_killed_comes_back_with_its_runs(browser: Any, pages: Callable[..., Page]) -> None:
    first = pages()
    place = Place("me", first.workspace / "me")
    add_job(place, "cross", "a long one", [Step(LONG)], {}, {"settings": {}})
    visit = Visit(browser, first)
    visit.go(f"{first.base}/runs")
    visit.tab.wait_for_function("document.querySelector('main').innerText.match(/running · [1-9]/)")
    visit.context.close()
    first.kill()
    job = list_jobs(place)[0]
    assert job.state == "running"  # the run did not notice
    os.kill(int((job.folder / "lock").read_text(encoding="ascii")), signal.SIGKILL)
    second = pages(workspace=first.workspace)
    visit = Visit(browser, second)
    visit.go(f"{second.base}/runs")
    visit.tab.get_by_text("broken off").first.wait_for()
    visit.find("again").click()
    visit.tab.wait_for_function("document.querySelector('main').innerText.match(/running · [1-9]/)")
    visit.tab.get_by_role("button", name="Stop").click()
    visit.tab.get_by_text("stopped").first.wait_for()
    assert visit.foreign == []
    visit.context.close()


@pytest.mark.parametrize("width", [420, 820, 1440])
def test_nothing_is_wider_than_the_window(browser: Any, served: Page, width: int) -> None:
    visit = Visit(browser, served, width)
    for path in ("/", "/measure", "/link", "/runs"):
        visit.go(served.base + path)
        visit.tab.locator("h1").wait_for()
        assert visit.tab.evaluate("document.documentElement.scrollWidth") <= width + 1
        assert visit.tab.evaluate(UNNAMED) == []
    visit.context.close()
