"""Every page, light and dark, empty and with a result: contrast of each text, what the mouse can do the keyboard can do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.app.conftest import Page
from tests.app.made import cross_job, measure_job, screen_job
from tests.app.test_browser import Visit

from krogh.app.jobs import Step, add_job
from krogh.app.workspace import Place, open_workspace

pytest.importorskip("rdkit", reason="the extra 'chem' is not installed")
#: Texts whose contrast with what lies behind them is below 4.5 (WCAG 2.2, 1.4.3), with the ratio.
CONTRAST = """() => {
  const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const read = (text) => { pen.clearRect(0, 0, 1, 1); pen.fillStyle = "#000"; pen.fillStyle = text; pen.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255]; };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const light = (c) => { const [r, g, b] = c.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (e) => { const stack = []; for (; e; e = e.parentElement) stack.unshift(e);
    return stack.reduce((back, one) => over(read(getComputedStyle(one).backgroundColor), back), [255, 255, 255, 1]); };
  const faded = (e) => { let a = 1; for (; e; e = e.parentElement) a *= +getComputedStyle(e).opacity; return a; };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), weak = [];
  for (let n; (n = texts.nextNode()); ) {
    const e = n.parentElement, style = getComputedStyle(e), box = e.getBoundingClientRect();
    if (!n.data.trim() || !box.width || style.visibility === "hidden") continue;
    if (e.closest("script, style, [disabled], [aria-disabled=true]")) continue;
    const back = behind(e), colour = read(e.namespaceURI.endsWith("svg") ? style.fill : style.color);
    colour[3] *= faded(e);
    if (!colour[3]) continue;
    const [a, b] = [light(over(colour, back)), light(back)].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) weak.push(`${ratio.toFixed(2)} ${e.tagName}.${e.getAttribute("class")}: ${n.data.trim().slice(0, 60)}`);
  }
  return [...new Set(weak)];
}"""
#: What shows the hand of a mouse without being, holding or lying in something that takes the focus.
MOUSE_ONLY = """() => { const can = "a[href], button, input, select, textarea, summary, label, [tabindex='0']";
  return [...document.querySelectorAll("body *")].filter((e) => getComputedStyle(e).cursor === "pointer"
    && e.getClientRects().length && !e.closest(can) && !e.querySelector(can)
    && !e.closest("svg")).map((e) => e.outerHTML.slice(0, 160)); }"""
#: What should take the focus in turn.
STOPS = """() => [...document.querySelectorAll("a[href], button, input, textarea, canvas, [tabindex='0']")].filter((e) =>
  e.tabIndex >= 0 && !e.disabled && e.getClientRects().length && getComputedStyle(e).visibility !== "hidden" && e.type !== "file"
  && !e.closest(".q-uploader__header, svg")).map((e, i) => (e.dataset.stop = i))"""


@pytest.fixture(scope="module")
def served(pages: Callable[..., Page], tmp_path_factory: pytest.TempPathFactory) -> Page:
    """Return a page whose user has one run of each kind, one that failed and one that waits for ever."""
    workspace = tmp_path_factory.mktemp("looks") / "work"
    open_workspace(workspace, ("me",))
    place = Place("me", workspace / "me")
    runs = {"/": cross_job(place), "/measure": measure_job(place), "/screen": screen_job(place)}
    for name, mark in (("failed", "ended.json"), ("stopped", "stopped")):
        run_id = add_job(place, "cross", f"one that {name}", [Step(("simulate",))], {}, {"settings": {}})
        (place.runs / run_id / "log.txt").write_text("error: duration: got 'one day'\n", encoding="utf-8")
        (place.runs / run_id / mark).write_text("{}", encoding="utf-8")
        runs[name] = run_id
    page = pages(workspace=workspace)
    page.links["runs"] = json.dumps(runs)
    return page


def addresses(page: Page) -> list[tuple[str, str]]:
    """Return address and what to wait for, of every page as it begins and with what it may show."""
    runs = json.loads(page.links["runs"])
    return [
        ("/", ".krogh-empty"), ("/measure", ".krogh-empty"), ("/screen", ".krogh-empty"), ("/link", "[data-testid=link] .point"),
        ("/runs", "[data-testid=run]"), (f"/?run={runs['/']}", "[data-testid=flow] .sankey-node"),
        (f"/?run={runs['failed']}", "[data-testid=state]"), (f"/?run={runs['stopped']}", "[data-testid=state]"),
        (f"/measure?run={runs['/measure']}", "[data-testid=voxel-curve] .point"),
        (f"/screen?run={runs['/screen']}", "[data-testid=scatter] .point"),
    ]  # fmt: skip


def visit_of(browser: Any, page: Page, *, dark: bool) -> Visit:
    (Path(page.workspace) / "me" / "look.json").write_text(json.dumps({"dark": dark}), encoding="utf-8")
    visit = Visit(browser, page)
    visit.tab.set_default_timeout(120_000)
    return visit


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_contrast_of_every_text(browser: Any, served: Page, dark: bool) -> None:
    visit = visit_of(browser, served, dark=dark)
    weak = {}
    for address, sign in addresses(served):
        visit.go(served.base + address)
        visit.tab.locator(sign).first.wait_for(state="attached")
        assert visit.tab.evaluate("document.body.classList.contains('body--dark')") == dark
        assert visit.problems == []
        if found := visit.tab.evaluate(CONTRAST):
            weak[address.partition("?")[0]] = found
    assert weak == {}
    visit.context.close()


def test_the_measure_of_contrast_sees_weak_text(browser: Any, served: Page) -> None:
    visit = visit_of(browser, served, dark=False)
    visit.tab.evaluate("document.querySelector('h1').style.color = 'rgba(0, 0, 0, .4)'")
    assert any("H1" in line for line in visit.tab.evaluate(CONTRAST))
    visit.context.close()


def test_the_keyboard_reaches_everything(browser: Any, served: Page) -> None:
    visit = visit_of(browser, served, dark=False)
    for address, sign in addresses(served):
        visit.go(served.base + address)
        visit.tab.locator(sign).first.wait_for(state="attached")
        assert visit.tab.evaluate(MOUSE_ONLY) == [], address
        stops = visit.tab.evaluate(STOPS)
        assert len(stops) > 5
        reached = set()
        for _ in range(2 * len(stops) + 10):
            visit.tab.keyboard.press("Tab")
            reached.add(visit.tab.evaluate("+(document.activeElement.dataset.stop ?? -1)"))
            if reached.issuperset(stops):
                break
        missed = [visit.tab.evaluate(f"document.querySelector('[data-stop=\"{k}\"]').outerHTML.slice(0, 160)")
                  for k in set(stops) - reached]  # fmt: skip
        assert missed == [], address
    visit.context.close()
