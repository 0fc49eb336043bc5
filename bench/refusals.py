"""What the data hold: how often a question is refused, against what its design can tell, and what a refusal costs."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from tests.inference._cases import TIMES, by_volumes, layer_target, saturable_target
from tests.inference.test_identify import judge
from tests.inference.test_layer import SATURATED

import krogh
from krogh.inference.fit import covariance, fit
from krogh.inference.identify import identify
from krogh.inference.profile import profile
from krogh.inference.target import Target

_DRAWS, _TIMED = 1000, 3
_EDGES = (0.0, 0.35, 0.5, 1.0, 2.0, 4.0, np.inf)
_GUIDE = Path(__file__).resolve().parents[1] / "docs/how-to/infer.md"
_BELOW = np.array([1e-6, 5e-5, 50.0])


def run() -> None:
    rng = np.random.default_rng(0)
    sd, refused, named, right, one = np.zeros(_DRAWS), np.zeros(_DRAWS, dtype=bool), 0, 0, 0
    for i in range(_DRAWS):
        target, truth = saturable_target(10 ** rng.uniform(-1.5, 2.5), rng)
        sd[i] = np.sqrt(covariance(target.look(truth[None]).information[0])[1, 1])
        judged = judge(target, truth + rng.normal(0, 0.7, 2))[1]
        refused[i] = not judged.held.all()
        named += len(judged.combinations)
        one += bool(judged.held.sum() == 1)
        right += sum(c.low <= np.exp(truth[0] - truth[1]) <= c.high for c in judged.combinations)
    print(f"refusals  Vmax and Km of a saturable decay, 20 values with 5 %, {_DRAWS} draws, Km 0.03 to 300 times the first "
          "concentration")  # fmt: skip
    for low, high in pairwise(_EDGES):
        mine = (sd >= low) & (sd < high)
        share = 100 * refused[mine].mean()
        print(f"refusals  SD of log Km by the design {low:g} to {high:g}: {mine.sum()} draws, refused {share:.1f} %")
    print(f"refusals  {named} of {refused.sum()} refusals name Vmax/Km; its 95 % interval holds the truth in "
          f"{100 * right / named:.1f} %; in {one} the data hold one of the two")  # fmt: skip
    for name, truth in (("held", SATURATED), ("far below Km", _BELOW)):
        seen = [_cost(truth, seed) for seed in range(_TIMED)]
        first, all_, rows, held = (np.mean(x) for x in zip(*seen, strict=True))
        print(f"refusals  layer A, P, Vmax and Km {name}: fit {first:.1f} s, with intervals and verdicts {all_:.1f} CPU s, "
              f"{rows:.0f} rows, answered {held:.0%}")  # fmt: skip
    with TemporaryDirectory() as folder:
        table = Path(folder) / "morphine.csv"
        table.write_text(_GUIDE.read_text().split("```text\n")[1].split("```")[0])
        for free, what in ((["P", "Vmax"], "answered"), (["P", "Vmax", "Km"], "refused")):
            seconds = [_ask(table, free, what) for _ in range(_TIMED)]
            print(f"refusals  morphine of the guide, {', '.join(free)}: {what}, {min(seconds):.1f} CPU s")


def _ask(table: Path, free: list[str], what: str) -> float:
    """Return CPU s of one inference by finite volumes with its posterior, where there is one; without start-up and pictures."""
    start = time.process_time()
    found = krogh.infer(str(table), "morphine", free, species="rat", dose="4 mg/kg infusion over 10 min", cells=24)
    assert bool(found.table["held"].all()) == (what == "answered")
    return time.process_time() - start


def _cost(truth: np.ndarray, seed: int) -> tuple[float, float, int, float]:
    """Return CPU s of the fit and of everything, rows of the model, and whether the question was answered."""
    value = by_volumes(truth[None])[0] * (1 + 0.05 * np.random.default_rng(seed).standard_normal(TIMES.size))
    target = layer_target(value, 3, predict=lambda th: by_volumes(th, cells=24), truth=truth, cv=0.05)
    rows = 0

    def counted(theta: np.ndarray, ask: Target = target) -> np.ndarray:
        nonlocal rows
        rows += len(theta)
        return ask.predict(theta)

    counting, start = replace(target, predict=counted), time.process_time()
    found = fit(counting, np.log(truth) + 0.5)
    first = time.process_time() - start
    held = identify(counting, found, profile(counting, found)).held.all()
    return first, time.process_time() - start, rows, float(held)


if __name__ == "__main__":
    run()
