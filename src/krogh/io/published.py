"""Read the published data that the model is held against, from a data folder that the package does not carry."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path

from krogh.errors import InputError

__all__ = ["TABLES", "data_folder", "read_b3db", "read_in_situ", "read_table", "table_reader"]

#: Short name -> file of the data folder.
TABLES = {
    "in_situ": "in_situ_permeability/rat_in_situ_perfusion_PS.csv",
    "panel": "drug_panel.csv",
    "endpoints": "observed_summary_endpoints.csv",
    "leiden": "published_models/yamamoto2017_rat_drug_parameters.csv",
    "human": "human_cns_timeseries/human_plasma_csf_brain_timeseries.csv",
    "human_benchmark": "human_cns_timeseries/benchmark_fold_errors_to_beat.csv",
    "pet_blood": "human_pet_pbr28/pbr28_arterial_input_thinned.csv",
    "pet_tissue": "human_pet_pbr28/pbr28_brain_tacs.csv",
    "pet_reference": "human_pet_pbr28/reference_2TCM_fits_computed_here.csv",
}
_HINT = "give --data FOLDER or set KROGH_DATA; docs/how-to/validate.md says what the folder holds"


def data_folder(given: Path | None = None) -> Path:
    """Return the folder with the published data (its subfolder ``pharma``): `given`, or ``KROGH_DATA``.

    Raises
    ------
    InputError
        If there is none.
    """
    named = given or (Path(os.environ["KROGH_DATA"]) if os.environ.get("KROGH_DATA") else None)
    if named is None:
        raise InputError("published data", got="no folder", hint=_HINT)
    for folder in (named / "pharma", named):
        if (folder / "observed_summary_endpoints.csv").is_file():
            return folder
    raise InputError(
        named.name or "published data", got="no observed_summary_endpoints.csv", expected="the data folder", hint=_HINT
    )


def read_table(folder: Path, name: str, *, delimiter: str = ",") -> list[dict[str, str]]:
    """Return the rows of one table of the folder.

    Raises
    ------
    InputError
        If it is missing or no text.
    """
    path = folder / name
    if not path.is_file():
        raise InputError(name, got="no such file in the data folder", hint=_HINT)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return list(csv.DictReader(stream, delimiter=delimiter))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(name, got=f"an unreadable table ({type(error).__name__})") from None


def table_reader(folder: Path) -> Callable[[str], list[dict[str, str]]]:
    """Return a function that reads a table of `folder` by its short name; ``b3db_classification`` and ``b3db_regression`` too."""

    def read(name: str) -> list[dict[str, str]]:
        if name.startswith("b3db_"):
            return read_b3db(folder, name.removeprefix("b3db_"))
        return read_table(folder, TABLES[name])

    return read


def read_in_situ(folder: Path) -> list[dict[str, str]]:
    """Return the rat in-situ permeabilities (Smith 2024: intrinsic; Luco 2006: apparent)."""
    return read_table(folder, TABLES["in_situ"])


def read_b3db(folder: Path, part: str) -> list[dict[str, str]]:
    """Return the rows of B3DB's ``classification`` or ``regression``: from the folder, or from the package ``B3DB``."""
    name = f"B3DB_{part}.tsv"
    if (folder / "b3db" / name).is_file():
        return read_table(folder, f"b3db/{name}", delimiter="\t")
    import importlib.util

    spec = importlib.util.find_spec("B3DB")
    for place in (spec.submodule_search_locations or []) if spec else []:
        for found in Path(place).rglob(name):
            return read_table(found.parent, name, delimiter="\t")
    raise InputError(name, got="not in the data folder", hint="pip install qc-B3DB, or see docs/how-to/validate.md")
