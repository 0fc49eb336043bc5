"""Find the FEXI scans of a BIDS folder, each with its protocol, mask and regions."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from krogh.errors import InputError

__all__ = ["CohortScan", "count_subjects", "find_scans"]

_IMAGES = (".nii", ".nii.gz")
_SAME = ("sub", "ses", "acq", "run", "dir", "rec", "part", "task", "echo")


@dataclass(frozen=True, slots=True)
class CohortScan:
    """Hold one scan and what belongs to it, as paths inside the BIDS folder (``/`` between parts).

    Attributes
    ----------
    dwi : str
        The 4-D scan.
    protocol : str
        Its table; empty where one protocol serves all.
    mask, roi, labels : str
        Voxels to fit, label image of the regions, tissue labels; empty where there is none.
    fault : str
        Why the scan cannot be fitted; empty where it can be tried.
    """

    dwi: str
    protocol: str = ""
    mask: str = ""
    roi: str = ""
    fault: str = ""
    labels: str = ""

    @property
    def subject(self) -> str:
        """Return the label of the subject."""
        return _entities(Path(self.dwi).name)["sub"]

    @property
    def entities(self) -> str:
        """Return what tells the scan from others of the subject, e.g. ``ses-02_run-1``."""
        return "_".join(f"{k}-{v}" for k, v in _entities(Path(self.dwi).name).items() if k != "sub")

    @property
    def session(self) -> str:
        """Return the label of the session, or nothing."""
        return _entities(Path(self.dwi).name).get("ses", "")


def _entities(name: str) -> dict[str, str]:
    """Return the entities of a BIDS file name in their order."""
    return dict(re.findall(r"(?:^|_)([0-9a-zA-Z]+)-([0-9a-zA-Z]+)(?=_)", name))


def find_scans(
    root: Path,
    *,
    match: str = "*_dwi",
    mask: str = "*_mask",
    roi: str = "*_dseg",
    labels: str = "",
    protocol: bool = False,
    skip: Path | None = None,
) -> list[CohortScan]:
    """Return the scans of ``sub-*/[ses-*/]dwi`` in the order of their names.

    Parameters
    ----------
    root : Path
        A BIDS dataset, raw or derived.
    match, mask, roi : str
        What the names of scans, masks and label images look like, without ``.nii`` or ``.nii.gz``. The last two are looked for
        beside the scan and in the same place under ``derivatives/*``, but for results of krogh; their entities may not
        contradict those of the scan.
    labels : str
        The same for tissue labels, which every scan must then have; empty: none are used.
    protocol : bool
        Whether one protocol is given for all; else each scan needs its own beside it (``sub-01_fexi.tsv`` and the like).
    skip : Path, optional
        A folder of derivatives that is not looked into: that of the results themselves.

    Raises
    ------
    InputError
        If the folder is missing or holds no scan.
    """
    if not root.is_dir():
        raise InputError(root.name or str(root), got="no such folder", expected="a BIDS folder with sub-*/[ses-*/]dwi")
    folders = sorted(p for pattern in ("sub-*/dwi", "sub-*/ses-*/dwi") for p in root.glob(pattern) if p.is_dir())
    known = [p for folder in folders for p in _images(folder, match) if "sub" in _entities(p.name)]
    wanted = {"mask": mask, "roi": roi, **({"labels": labels} if labels else {})}
    scans = [_with_companions(root, p, wanted, skip, protocol=protocol) for p in known]
    if not scans:
        raise InputError(
            root.name, got=f"no '{match}' in sub-*/[ses-*/]dwi", expected="at least one 4-D scan", hint="see --match"
        )
    return scans


def _images(folder: Path, pattern: str) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        p for p in folder.iterdir() if _stem(p) and fnmatch.fnmatchcase(_stem(p), pattern) and not p.name.startswith(".")
    )


def _stem(path: Path) -> str:
    """Return the name of an image without its ending, nothing for other files."""
    return next((path.name.removesuffix(end) for end in reversed(_IMAGES) if path.name.endswith(end)), "")


def _with_companions(root: Path, dwi: Path, wanted: Mapping[str, str], skip: Path | None, *, protocol: bool) -> CohortScan:
    own = _entities(dwi.name)
    place = dwi.parent.relative_to(root)
    derived = sorted(d for d in (root / "derivatives").glob("*") if d.is_dir())
    folders = [dwi.parent, *(d / place for d in derived if not _is_ours(d, skip))]
    faults: list[str] = []
    found: dict[str, str] = {}
    for role, pattern in wanted.items():
        fits = [p for folder in folders for p in _images(folder, pattern) if _agree(own, _entities(p.name))]
        if len(fits) > 1:
            faults.append(f"{role}: got {', '.join(p.name for p in fits[:4])}, expected one; narrow it with --{role}")
        if not fits and role == "labels":
            faults.append(f"labels: got no '{pattern}' for this scan, expected one for every scan")
        found[role] = fits[0].relative_to(root).as_posix() if len(fits) == 1 else ""
    table = "" if protocol else _protocol(root, dwi, own)
    if not (table or protocol):
        stem = "_".join(f"{k}-{v}" for k, v in own.items())
        faults.append(f"protocol: got none beside the scan, expected {stem}_fexi.tsv; or give --protocol for all")
    name, fault = dwi.relative_to(root).as_posix(), "; ".join(faults)
    return CohortScan(name, table, found["mask"], found["roi"], fault, found.get("labels", ""))


def _is_ours(folder: Path, skip: Path | None) -> bool:
    """Return whether a derivative is the results to be, or those of an earlier run: the mask it holds is a copy."""
    if skip is not None and folder.resolve() == skip.resolve():
        return True
    try:
        about = json.loads((folder / "dataset_description.json").read_text(encoding="utf-8"))
        return bool(any(g["Name"] == "krogh" for g in about["GeneratedBy"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _agree(own: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Return whether a companion is of the same subject and says nothing else about what it shares with the scan."""
    return other.get("sub") == own["sub"] and all(other[k] == own.get(k) for k in _SAME if k in other)


def _protocol(root: Path, dwi: Path, own: Mapping[str, str]) -> str:
    """Return the protocol file beside a scan: the one with most of its entities."""
    tables = sorted(p for p in dwi.parent.iterdir() if p.name.endswith(("_fexi.tsv", "_xps.mat")))
    fits = [p for p in tables if _agree(own, _entities(p.name))]
    best = max(fits, key=lambda p: len(_entities(p.name)), default=None)
    return best.relative_to(root).as_posix() if best is not None else ""


def count_subjects(scans: Sequence[CohortScan]) -> int:
    """Return how many subjects the scans are of."""
    return len({s.subject for s in scans})
