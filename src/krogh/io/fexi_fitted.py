"""Write the result of a FEXI fit as BIDS maps, a table of regions and the protocol that was used; read the names of regions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from krogh import __version__
from krogh.fexi.estimators import ESTIMATORS
from krogh.fexi.protocol import Protocol
from krogh.io.bids import Dataset, write_tsv
from krogh.io.fexi_prior import write_priors
from krogh.io.fexi_protocol import write_protocol
from krogh.io.nifti import Image
from krogh.io.provenance import DISCLAIMER, write_json
from krogh.io.weights import write_weights
from krogh.runs.fexi import FexiMaps
from krogh.runs.fexi_parameters import PARAMETERS
from krogh.runs.fexi_regions import iter_rows

__all__ = ["read_region_names", "write_fit"]

_REFERENCES = {
    "axr": "Lasic et al. 2011 doi:10.1002/mrm.22782",
    "2cm": "Lasic et al. 2011 doi:10.1002/mrm.22782; Karger 1985 doi:10.1016/0001-8686(85)80018-X",
    "2cmr": "Lasic et al. 2011 doi:10.1002/mrm.22782; Ohene et al. 2023 doi:10.1186/s12987-023-00422-7",
}
_ROW_UNITS = {
    "label": ("1", "value in the label image; 0 is the whole mask"),
    "region": ("", "name of the region"),
    "voxels": ("1", "voxels pooled"),
    "kie": ("1/s", "exchange rate of water, blood to tissue"),
    "kei": ("1/s", "exchange rate of water, tissue to blood"),
    "ps": ("mL/min/100mL", "permeability-surface product of water"),
    "p": ("um/s", "permeability of the barrier to water"),
    "snr": ("1", "unfiltered signal at b = 0 over the noise SD, one voxel"),
    "noise_sd": ("arbitrary", "noise SD of one voxel"),
    "rmse": ("arbitrary", "root mean square of signal minus fit, one voxel"),
    "axr_sd_one_voxel": ("1/s", "smallest possible SD of the exchange rate in one voxel (Cramer-Rao bound)"),
    "share_on_bound": ("1", "share of voxels whose own fit ended on a bound of a parameter"),
    "flag": ("1", "flag of the pooled fit, as in the flag map"),
}


def read_region_names(labels: Path) -> dict[int, str]:
    """Return the names beside a label image: ``index`` and ``name`` of its .tsv, or ``LabelMap`` of its .json; else nothing."""
    stem = labels.name.removesuffix(".gz").removesuffix(".nii")
    names: dict[int, str] = {}
    try:
        table = labels.with_name(f"{stem}.tsv")
        if table.is_file() and table.stat().st_size < 1_000_000:
            head, *rows = (line.split("\t") for line in table.read_text(encoding="utf-8").splitlines() if line.strip())
            index, name = head.index("index"), head.index("name")
            names = {int(row[index]): row[name] for row in rows}
        sidecar = labels.with_name(f"{stem}.json")
        if not names and sidecar.is_file() and sidecar.stat().st_size < 1_000_000:
            content = json.loads(sidecar.read_text(encoding="utf-8"))
            names = {int(k): str(v) for k, v in content["LabelMap"].items()}
    except (OSError, ValueError, KeyError, IndexError, AttributeError, TypeError, RecursionError):
        return {}  # names are a courtesy: without usable ones, regions are called by number
    return {k: " ".join("".join(c for c in v if c.isprintable()).split())[:60] or f"label {k}" for k, v in names.items()}


def write_fit(
    folder: Path, result: FexiMaps, image: Image, protocol: Protocol, mask: NDArray[np.bool_], *,
    subject: str, sources: Mapping[str, str], entities: str = "",
) -> list[Path]:  # fmt: skip
    """Write maps with sidecars, mask, regions and protocol into `folder`; return the files.

    Parameters
    ----------
    folder : Path
        Exists and is empty.
    image : Image
        The scan, for the geometry.
    subject : str
        BIDS label.
    entities : str
        Session, run and the like of the scan; see :class:`krogh.io.bids.Dataset`.
    sources : mapping of str to str
        Role to file name of the inputs.
    """
    data = Dataset(folder, subject, image.header, _common(result, protocol, sources), entities)
    data.describe("FEXI maps by krogh", _readme(result))
    files = []
    for m in result.maps.values():
        formula = {"Formula": m.formula} if m.formula else {}
        files.append(data.write_parameter(m.name, m.values, {"Description": m.words, "Units": m.units, **formula}))
    files.append(data.write("desc-brain_mask", mask, {"Type": "Brain", "Description": "voxels that were fitted"}, dtype="u1"))
    table = data.place / f"{data.prefix}_desc-used_fexi.tsv"
    write_protocol(table, protocol)
    rows = list(iter_rows(result.regions))
    write_tsv(folder / "regions.tsv", rows)
    write_json(folder / "regions.json", _column_notes(rows[0]))
    write_tsv(folder / "signals.tsv", _signals(result), ("region", "volume", "signal", "sd"))
    if result.priors:
        write_priors(folder / "prior.json", result.priors, result.model)
        files.append(folder / "prior.json")
    if result.network is not None:
        (folder / "network").mkdir()
        files += write_weights(folder / "network", result.network)
    return [*files, table, folder / "regions.tsv", folder / "signals.tsv"]


def _signals(result: FexiMaps) -> list[dict[str, Any]]:
    """Return the mean signal of every region and volume, with the noise SD of the mean."""
    return [
        {"region": r.name, "volume": i, "signal": float(value), "sd": r.noise_sd / float(np.sqrt(r.n_voxels))}
        for r in result.regions
        if r.signal is not None
        for i, value in enumerate(r.signal, 1)
    ]


def _common(result: FexiMaps, protocol: Protocol, sources: Mapping[str, str]) -> dict[str, Any]:
    return {
        "EstimationAlgorithm": f"{result.estimator}: {ESTIMATORS[result.estimator][1]}",
        "EstimationReference": _REFERENCES.get(result.model.name, ""),
        "Model": result.model.name,
        "Bounds": {n: list(b) for n, b in zip(result.model.parameter_names, result.model.bounds.tolist(), strict=True)},
        "ProtocolHash": protocol.content_hash(),
        "NoiseSD": result.noise_sd,
        "NoiseSource": result.noise_source,
        "SNR": result.snr,
        "SkullStripped": True,
        "InputFiles": dict(sources),
        "SoftwareVersion": f"krogh {__version__}",
        "Notice": DISCLAIMER,
    }


def _readme(result: FexiMaps) -> str:
    lines = [
        "Maps of a FEXI fit: `sub-*/dwi/*_param-<name>_dwimap.nii.gz`, each with a JSON that states unit, formula and estimator.",
        "Voxels without a value are NaN; `param-flag` says why. `regions.tsv` holds the pooled fits, `figures/` the pictures.",
        *result.notes,
    ]
    return "\n\n".join(lines)


def _column_notes(row: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    units = dict(_ROW_UNITS)
    for p in PARAMETERS:
        units[p.name] = (p.unit, p.words)
        units[f"{p.name}_sd"] = (p.unit, f"standard deviation of {p.label} from the Fisher matrix; n/a on a bound")
        units[f"{p.name}_low"] = (p.unit, f"low end of the 95 % profile interval of {p.label}; n/a where open")
        units[f"{p.name}_high"] = (p.unit, f"high end of the 95 % profile interval of {p.label}; n/a where open")
        units[f"{p.name}_post"] = (p.unit, f"posterior mean of the average {p.label} of the voxels of the region")
        units[f"{p.name}_post_sd"] = (p.unit, "its standard deviation, the unknown spread of the region included")
        units[f"{p.name}_post_low"] = (p.unit, "low end of its 95 % interval")
        units[f"{p.name}_post_high"] = (p.unit, "high end of its 95 % interval")
    return {name: {"Units": units[name][0], "Description": units[name][1]} for name in row if name in units}
