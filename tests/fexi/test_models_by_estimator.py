"""Every estimator with every model: it works, or is refused in one line, as the table of the page says."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from krogh.errors import KroghError
from krogh.fexi import fit, get_model, preset
from krogh.fexi.estimators import ESTIMATORS
from krogh.fexi.interface import Flag
from krogh.fexi.noise import add_noise

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "fexi-fit.md"
PROTOCOL = dataclasses.replace(preset("human-bbb"), echo_time_filter_s=0.03, echo_time_detect_s=0.06)
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "axr": ("axr", {}), "2cm": ("2cm", {}), "2cmr": ("2cmr", {}), "2cm with D_i free, too": ("2cm", {"fixed": {}}),
}  # fmt: skip


def table() -> dict[tuple[str, str], str]:
    """Return what the page says by (estimator, model)."""
    text = PAGE.read_text(encoding="utf-8").split("## Which model with which estimator\n\n")[1]
    head, _, *rows = [[c.strip().replace("`", "") for c in line.split("|")[1:-1]] for line in text.split("\n\n")[0].splitlines()]
    return {(row[0], model): told for row in rows for model, told in zip(head[1:], row[1:], strict=True)}


def short_training(estimator: str) -> dict[str, Any]:
    from krogh.fexi.learned.encoder import HbayesSettings
    from krogh.fexi.learned.flow import NpeSettings
    from krogh.fexi.learned.points import PointSettings
    from krogh.fexi.learned.train_physics import PhysicsSettings

    made = {
        "hbayes": lambda: HbayesSettings(rounds=1, steps=2, batch=64), "npe": lambda: NpeSettings(rounds=1, steps=2, batch=64),
        "supervised": lambda: PointSettings(rounds=1), "selfsup": lambda: PointSettings(rounds=1),
        "physics": lambda: PhysicsSettings(rounds=1, em=1),
    }  # fmt: skip
    return {"training": made[estimator]()} if estimator in made else {}


def test_the_table_names_every_estimator_and_model() -> None:
    assert {e for e, _ in table()} == set(ESTIMATORS) - {"pooled"}
    assert {m for _, m in table()} == set(MODELS)


def cases() -> list[tuple[str, str]]:
    """Return what no other test tries: `eb` with `2cm` is in test_eb, what learns with `2cmr` in test_cli_weights."""
    known = {("eb", "2cm"), *((e, "2cmr") for e in ("eb", "hbayes", "npe", "supervised", "selfsup"))}
    return [pair for pair in table() if pair[1] != "axr" and pair not in known]


@pytest.mark.parametrize(("estimator", "model"), cases())
def test_the_table_is_true(estimator: str, model: str) -> None:
    rng, (name, inputs) = np.random.default_rng(0), MODELS[model]
    chosen, told = get_model(name, **inputs), table()[estimator, model]
    theta = np.stack([rng.uniform(0.03, 0.07, 60), rng.uniform(0.7e-9, 0.9e-9, 60), rng.uniform(1.5, 4, 60)], 1)
    signals = add_noise(get_model("2cmr" if name == "2cmr" else "2cm").shape(theta, PROTOCOL), 0.01, rng)

    def run() -> Any:
        some = signals[:2] if estimator == "nlls27" else signals
        return fit(some, PROTOCOL, model=chosen, estimator=estimator, noise_sd=0.01, **short_training(estimator))

    if told == "refused":
        with pytest.raises(KroghError) as refusal:
            run()
        assert "\n" not in str(refusal.value)
        assert re.search("axr|cannot tell apart", str(refusal.value))
        return
    found = run()
    assert np.isfinite(found.theta()).all(axis=1).mean() > 0.9
    if told == "flagged":
        assert not (found.flag == Flag.OK).any()
