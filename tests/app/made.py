"""Put finished runs into the folder of a user without a page, so that tests of how a page looks need not wait for runs."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from krogh.app.jobs import Step, add_job
from krogh.app.pages.geometry import files_of_geometry, settings_of_geometry
from krogh.app.workspace import Place
from krogh.cli.main import _run
from krogh.io.toml_text import to_toml

MOLECULES = "name,smiles\ncoffee,caffeine\nsugar,mannitol\nalcohol,CCO\nbroken,C1CC(\n"


def run_job(place: Place, kind: str, title: str, steps: list[Step], files: dict[str, str], about: dict[str, object]) -> str:
    """Write a job, run its commands here, and return its id."""
    run_id = add_job(place, kind, title, steps, files, about)
    with contextlib.chdir(place.runs / run_id), Path(os.devnull).open("w") as nothing, contextlib.redirect_stdout(nothing):
        for step in steps:
            code = _run([*step.arguments, "--out", step.out])
            assert code == 0, (step.arguments, code)
    return run_id


def cross_job(place: Place, *words: str) -> str:
    """Return a finished simulation of two drugs."""
    quick = ("--duration", "1 h", "--cells", "20", "--no-pictures", "--netcdf", *words)
    settings = {"compounds": ["caffeine", "mannitol"], "species": "human", "geometry": "slab", "duration": "1 h"}
    step = Step(("simulate", "caffeine", "mannitol", *quick))
    return run_job(place, "cross", "caffeine, mannitol (human)", [step], {}, {"settings": settings})


def measure_job(place: Place) -> str:
    """Return a finished fit of a small simulated head."""
    head = ("fexi", "simulate", "--phantom", "shapes", "--voxel", "10 mm", "--snr", "50", "--seed", "1", "--lesion")
    at = "scan/sub-01/dwi/sub-01_"
    fit = ("fexi", "fit", f"{at}dwi.nii.gz", "--protocol", f"{at}fexi.tsv", "--mask", f"{at}desc-brain_mask.nii.gz")
    steps = [Step(head, "scan"), Step((*fit, "--roi", f"{at}desc-tissue_dseg.nii.gz", "--no-figures"))]
    return run_job(place, "measure", "FEXI of the digital head", steps, {}, {"form": {"source": "head", "voxel": 10}})


def screen_job(place: Place) -> str:
    """Return a finished screen with one reject."""
    step = Step(("screen", "molecules.csv", "--duration", "30 min"))
    return run_job(place, "screen", "Screen of pasted molecules", [step], {"molecules.csv": MOLECULES}, {"form": {}})


def solid_job(place: Place, geometry: str) -> str:
    """Return a finished block with a leak, or a finished made-up network, of few cells."""
    settings = {"compounds": ["mannitol"], "geometry": geometry, "species": "human", "duration": "20 s"}
    form = {
        "geometry": geometry,
        "cells": 8,
        "route": "paracellular",
        "shape": "patch",
        "factor": 100,
        "radius": 8,
        "example": True,
    }
    toml = to_toml({**settings, "dose": "1 uM constant", **settings_of_geometry(form)})
    step = Step(("simulate", "--config", "run.toml", "--no-pictures"))
    files = {"run.toml": toml, **{k: str(v) for k, v in files_of_geometry(form).items()}}
    return run_job(place, "cross", f"mannitol in a {geometry}", [step], files, {"settings": settings})
