"""Print the model beside published measurements, with nothing tuned to the rows that it is held against.

The observed values are read from the shared data folder (``KROGH_DATA``, default ``../shared/data``); without it the module
says so.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import krogh

DATA = Path(os.environ.get("KROGH_DATA", Path(__file__).parents[1] / ".." / "shared" / "data")) / "pharma"
_LEIDEN = (
    "acetaminophen", "atenolol", "methotrexate", "morphine", "paliperidone",
    "phenytoin", "quinidine", "raclopride", "remoxipride", "risperidone",
)  # fmt: skip


def _metrics(name: str, **settings: Any) -> Any:
    return krogh.simulate(name, **settings).groups[0].metrics[0]


def _observed(rows: list[dict[str, str]], drug: str, condition: str, endpoint: str) -> dict[str, str]:
    found = [r for r in rows if r["drug"] == drug and condition in r["condition"] and endpoint in r["endpoint"]]
    if len(found) != 1:
        raise LookupError(f"{drug}, {condition}, {endpoint}: {len(found)} rows")
    return found[0]


def _morphine(rows: list[dict[str, str]]) -> list[tuple[str, str, str, str]]:
    """Return interstitial AUC(0-165 min) of the rat, dose-normalised to 4 mg/kg, with and without P-gp."""
    out = []
    for text, dose, efflux, condition in (
        ("4 mg/kg", 4, {}, "4 mg/kg iv 10 min"),
        ("4 mg/kg, P-gp blocked", 4, {"P-gp": 0.0}, "4 mg/kg iv + GF120918"),
        ("40 mg/kg", 40, {}, "40 mg/kg iv 10 min"),
    ):
        m = _metrics("morphine", species="rat", dose=f"{dose} mg/kg infusion over 10 min", duration="165 min", efflux=efflux)
        value = m.auc_interstitium * 285.34 * 1e3 / 60 * 4 / dose  # mol s/m3 -> ng min/mL
        seen = _observed(rows, "morphine", condition, "brain ECF AUC")
        verdict = (
            "within SD"
            if abs(value - float(seen["value"])) <= float(seen["spread"])
            else f"{value / float(seen['value']):.2f}-fold"
        )
        out.append(
            (
                f"morphine, rat, {text}: interstitial AUC [ng min/mL]",
                f"{value:.0f}",
                f"{seen['value']} +- {seen['spread']}",
                verdict,
            )
        )
    return out


def _levodopa(rows: list[dict[str, str]]) -> list[tuple[str, str, str, str]]:
    m = _metrics("levodopa", species="rat", dose="48 mg/kg oral", duration="8 h")
    ecf = _observed(rows, "levodopa", "48 mg/kg + benserazide", "striatal ECF")["value"].split(";")
    plasma = _observed(rows, "levodopa", "48 mg/kg + benserazide", "plasma t1/2")["value"].split(";")
    ratio = m.auc_interstitium / m.auc_plasma_total
    human = _metrics("levodopa")
    monkey = _observed(rows, "levodopa", "iv infusion 2-3 h", "cisternal CSF:plasma")
    seen = float(ecf[3]) / float(plasma[3])
    steady = human.auc_interstitium / human.auc_plasma_total
    csf = float(monkey["value"])
    return [
        ("levodopa, rat, oral: interstitium / total plasma AUC", f"{ratio:.3f}", f"{seen:.3f}", f"{ratio / seen:.2f}-fold"),
        ("levodopa, rat, oral: tmax interstitium [min]", f"{m.tmax_interstitium_s / 60:.0f}", f"{float(ecf[1]):.0f} +- 9", ""),
        ("levodopa, rat, oral: tmax plasma [min]", f"{m.tmax_plasma_s / 60:.1f}", f"{float(plasma[1]):.1f} (fixes ka)", ""),
        (
            "levodopa, human model / monkey CSF: brain / total plasma",
            f"{steady:.3f}",
            f"{csf:g}",
            f"{steady / csf:.2f}-fold",
        ),
    ]


def _leiden() -> list[tuple[str, str, str, str]]:
    with (DATA / "published_models" / "yamamoto2017_rat_drug_parameters.csv").open(encoding="utf-8") as stream:
        seen = {r["drug"]: float(r["Kpuu_ECF"]) for r in csv.DictReader(stream)}
    out = []
    for name in _LEIDEN:
        # steady Kp,uu does not depend on brain binding, which is blank for most of these: any value serves
        m = _metrics(name, species="rat", dose="1 nM constant", duration="10 min", compound={name: {"fu_brain": "1"}})
        out.append((f"{name}, rat: Kp,uu", f"{m.kp_uu_steady:.2g}", f"{seen[name]:g}", f"{m.kp_uu_steady / seen[name]:.2g}-fold"))
    return out


def run() -> None:
    """Print the table."""
    path = DATA / "observed_summary_endpoints.csv"
    if not path.is_file():
        print("published values: no data folder (set KROGH_DATA)")
        return
    with path.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    dopamine = _metrics("dopamine")
    table = [
        *_morphine(rows),
        *_levodopa(rows),
        ("dopamine, human: interstitium / free plasma", f"{dopamine.kp_uu:.1e}", "< 0.01 (does not enter)", ""),
        *_leiden(),
    ]
    print("model beside published values; nothing was tuned to a row below")
    print(f"{'quantity':66s} {'model':>10s} {'published':>24s}  model / published")
    for quantity, model, published, verdict in table:
        print(f"{quantity:66s} {model:>10s} {published:>24s}  {verdict}")


if __name__ == "__main__":
    run()
