"""Lay out maps as a BIDS derivative dataset that the validator accepts.

Parameter maps follow the draft of the diffusion derivatives, ``sub-01_model-fexi_param-axr_dwimap.nii.gz`` with a JSON each;
what BIDS does not know yet is named in ``.bidsignore``.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from krogh import __version__
from krogh.errors import InputError
from krogh.io.nifti import write_map
from krogh.io.provenance import DISCLAIMER, write_json

__all__ = ["Dataset", "subject_of", "write_tsv"]

_IGNORE = (
    "*_dwimap.*\n*_fexi.*\nrun.json\ncommand.txt\nregions.tsv\nregions.json\nsignals.tsv\nvoxels.tsv\nvoxels.json\nfigures\nfigures/**\n"
    "prior.json\nnetwork\nnetwork/**\n"
)


def subject_of(path: Path, default: str = "01") -> str:
    """Return the subject label in a BIDS file name, or `default`."""
    match = re.match(r"sub-([0-9a-zA-Z]+)_", path.name)
    return match[1] if match else default


@dataclass(frozen=True)
class Dataset:
    """Write files of one subject into one dataset folder.

    Parameters
    ----------
    folder : Path
        Exists; becomes the root of the dataset.
    subject : str
        Letters and digits.
    header : nibabel.Nifti1Header
        Geometry of every image.
    common : dict
        Entries that every sidecar holds (estimator, protocol hash, ...).
    entities : str
        What else tells this scan from others of the subject, e.g. ``ses-02_run-1``; a session gets its folder.
    """

    folder: Path
    subject: str
    header: Any
    common: Mapping[str, Any] = field(default_factory=dict)
    entities: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-zA-Z]{1,64}", self.subject):
            raise InputError("subject", got=repr(self.subject), expected="letters and digits, e.g. 01")
        if not re.fullmatch(r"([0-9a-zA-Z]{1,32}-[0-9a-zA-Z]{1,64}(_(?!$)|$))*", self.entities):
            raise InputError("entities", got=repr(self.entities), expected="BIDS entities, e.g. ses-02_run-1")
        self.place.mkdir(parents=True, exist_ok=True)

    @property
    def place(self) -> Path:
        """Return the folder of the diffusion files."""
        session = re.match(r"ses-[0-9a-zA-Z]+", self.entities)
        return self.folder / f"sub-{self.subject}" / (session[0] if session else "") / "dwi"

    @property
    def prefix(self) -> str:
        """Return what every file name starts with."""
        return f"sub-{self.subject}" + (f"_{self.entities}" if self.entities else "")

    def describe(self, name: str, text: str) -> None:
        """Write ``dataset_description.json``, ``README.md`` and ``.bidsignore``."""
        write_json(
            self.folder / "dataset_description.json",
            {
                "Name": name,
                "BIDSVersion": "1.11.1",
                "DatasetType": "derivative",
                "License": "n/a",
                "Authors": ["The user of krogh", "The krogh developers"],
                "GeneratedBy": [{"Name": "krogh", "Version": __version__}],
            },
        )
        (self.folder / "README.md").write_text(f"# {name}\n\n{text}\n\n{DISCLAIMER}\n", encoding="utf-8")
        (self.folder / ".bidsignore").write_text(_IGNORE, encoding="utf-8")

    def write(
        self, entities: str, values: NDArray[Any], sidecar: Mapping[str, Any], *, dtype: str = "f4", description: str = ""
    ) -> Path:
        """Write ``sub-<subject>[_<entities of the scan>]_<entities>.nii.gz`` and its JSON; return the path of the image."""
        path = self.place / f"{self.prefix}_{entities}.nii.gz"
        write_map(path, values, self.header, description=description, dtype=dtype)
        write_json(self.sidecar_path(path), {**self.common, **sidecar})
        return path

    def write_parameter(self, name: str, values: NDArray[Any], sidecar: Mapping[str, Any], *, desc: str = "") -> Path:
        """Write a parameter map; flags as uint8, everything else as float32 with NaN where there is no value."""
        middle = f"desc-{desc}_" if desc else ""
        dtype = "u1" if np.asarray(values).dtype == np.uint8 else "f4"
        units = sidecar.get("Units", "")
        return self.write(
            f"model-fexi_{middle}param-{name}_dwimap", values, sidecar, dtype=dtype, description=f"krogh FEXI {name} [{units}]"
        )

    @staticmethod
    def sidecar_path(image: Path) -> Path:
        """Return the JSON beside an image."""
        return image.with_name(image.name.removesuffix(".nii.gz") + ".json")


def write_tsv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Iterable[str] | None = None) -> None:
    """Write rows as tab-separated values; NaN, None and infinity become ``n/a`` as BIDS asks.

    Numbers are written with six significant digits.
    """

    def text(value: Any) -> str:
        if value is None or (isinstance(value, float) and not np.isfinite(value)):
            return "n/a"
        return f"{value:.6g}" if isinstance(value, float) else str(value)

    names = list(columns) if columns is not None else list(rows[0])
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow(names)
        writer.writerows([text(row.get(name)) for name in names] for row in rows)
