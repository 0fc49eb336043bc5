"""Calibration and speed of inference by compartments beside finite volumes, and by FEXI signals."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from tests.inference._cases import observations
from tests.inference.test_fexi_infer import study

from krogh.inference.calibrate import calibrate
from krogh.inference.fit import fit
from krogh.inference.profile import profile
from krogh.runs.config import build_config
from krogh.runs.infer import build_experiment, build_target

_DRAWS = 400
_TIMES = np.array([5, 10, 20, 30, 45, 60, 90, 120, 180, 240.0]) * 60
_CASES = {
    "morphine, rat, 4 mg/kg over 10 min": ("morphine", "rat", "4 mg/kg infusion over 10 min", ["P", "Vmax"]),
    "caffeine, human, 100 mg oral": ("caffeine", "human", "100 mg oral", ["clearance", "ka"]),
    "levodopa, human, 100 mg oral": ("levodopa", "human", "100 mg oral", ["Vmax"]),
    "mannitol, rat, 1 uM constant": ("mannitol", "rat", "1 uM constant", ["P"]),
}
#: Model, protocol, SNR, noise.
_CURVES = (("axr", "human-bbb", 600, "gaussian"), ("axr", "human-bbb", 300, "gaussian"), ("axr", "cell-type", 40, "rician"),
           ("2cm", "human-bbb", 1500, "gaussian"))  # fmt: skip


def run() -> None:
    _compartments()
    _signals()


def _compartments() -> None:
    """Print how far compartments are from finite volumes, in curves and in estimates, and how often their intervals hold."""
    for name, (compound, species, dose, free) in _CASES.items():
        config = {"compounds": [compound], "species": species, "dose": dose, "cells": 48, "rtol": 1e-6}
        one = build_experiment("study", build_config(config))
        targets = {}
        for solver in ("fv", "compartments"):
            data = observations(_TIMES, np.ones(_TIMES.size), cv=0.05, matrix="interstitium")
            _, targets[solver], start = build_target({"study": replace(one, solver=solver)}, data, free)
        m = {k: t.predict(np.exp(start)[None])[0] for k, t in targets.items()}
        seen = data.draw(m["fv"], np.random.default_rng(1))
        found, spent = {}, {}
        for solver, target in targets.items():
            clock = time.process_time()
            held = replace(target, data=data.with_values(seen))
            found[solver] = fit(held, start, scan=0)
            profile(held, found[solver])
            spent[solver] = time.process_time() - clock
        apart = np.abs(found["fv"].x - found["compartments"].x) / found["fv"].sd
        off = 100 * np.max(np.abs(m["compartments"] - m["fv"])) / m["fv"].max()
        print(f"inference  {name}: compartments within {off:.2g} % of the peak of finite volumes;"
              f" {', '.join(free)} at most {apart.max():.2g} SD apart (10 values, 5 % noise); fit and "
              f"profiles {spent['compartments']:.2f} CPU s, finite volumes {spent['fv']:.1f}")  # fmt: skip
    target = targets_of_morphine()
    clock = time.process_time()
    study = calibrate(*target, _DRAWS, seed=1)
    cpu = (time.process_time() - clock) / _DRAWS
    print(f"inference  compartments, {_DRAWS} draws of P, Vmax (8 % noise): bias {study.bias[0]:+.2f}, {study.bias[1]:+.2f} SD; "
          f"95 % profile intervals hold {100 * study.coverage()[0]:.1f}, {100 * study.coverage()[1]:.1f} %, "
          f"{int((~study.converged).sum())} did not converge, {1e3 * cpu:.0f} ms each")  # fmt: skip


def targets_of_morphine():
    """Return the target and the truth of the study."""
    config = {"compounds": ["morphine"], "species": "rat", "dose": "4 mg/kg infusion over 10 min"}
    e = replace(build_experiment("study", build_config(config)), solver="compartments")
    data = observations(_TIMES, np.ones(_TIMES.size), cv=0.08, matrix="interstitium")
    _, target, start = build_target({"study": e}, data, ["P", "Vmax"])
    return target, start


def _signals() -> None:
    """Print how often intervals from FEXI signals hold, and how wide they are beside the Cramer-Rao bound."""
    for name, plan, snr, likelihood in _CURVES:
        clock = time.process_time()
        found = study(name, plan, snr, likelihood, _DRAWS)
        cpu = (time.process_time() - clock) / _DRAWS
        held, normal = 100 * found.coverage(), 100 * found.coverage(wald=True)
        bias = ", ".join(f"{b:+.2f}" for b in found.bias)
        print(f"inference  {name}, {plan}, SNR {snr}, {likelihood}: 95 % profile intervals of {', '.join(found.names)} hold "
              f"{', '.join(f'{h:.1f}' for h in held)} %, normal ones {', '.join(f'{h:.1f}' for h in normal)} %; bias of the "
              f"logarithms {bias} SD; {_DRAWS} draws, {1e3 * cpu:.0f} ms each")  # fmt: skip


if __name__ == "__main__":
    run()
