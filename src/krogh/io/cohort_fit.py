"""Fit one scan of a cohort as one item: read it, fit it, put its maps in place, return its regions; or say why not."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from krogh.errors import InputError, KroghError, OutputError
from krogh.fexi.interface import SignalModel
from krogh.fexi.protocol import Protocol
from krogh.io.cohort_scans import CohortScan
from krogh.io.fexi_fitted import read_region_names, write_fit
from krogh.io.fexi_protocol import read_protocol
from krogh.io.folder import output_errors
from krogh.io.nifti import Image, read_dwi, read_labels, read_mask
from krogh.io.provenance import file_sha256
from krogh.io.weights import read_weights
from krogh.runs.fexi import FexiMaps, fit_scan
from krogh.runs.fexi_maps import Vessels
from krogh.runs.fexi_regions import iter_rows

if TYPE_CHECKING:
    from krogh.fexi.learned.checkpoint import Checkpoint

__all__ = ["CohortItem", "CohortSettings", "fit_item", "input_digests"]


@dataclass(frozen=True, slots=True)
class CohortSettings:
    """Hold what is the same for all scans.

    Attributes
    ----------
    root, out : str
        The BIDS folder and the folder of the results.
    protocol : str
        A file or a preset for all scans, or nothing: each has its own.
    estimator : str
        As in ``krogh fexi fit``.
    model : SignalModel
        With its bounds and fixed inputs.
    blood_fraction, radius_m : float
        For k_ie, PS and P.
    maps : bool
        Whether maps are written, or only regional values.
    threads : int
        Of one fit.
    options : mapping
        Settings of the estimator.
    weights : str
        Folder of a trained network, or nothing.
    noise_sd : float or None
        In the unit of the scans; None: estimated from each.
    smooth_m : float or None
        Length over which neighbours resemble each other.
    intervals : bool
        Whether voxels get profile intervals.
    """

    root: str
    out: str
    protocol: str
    estimator: str
    model: SignalModel
    blood_fraction: float
    radius_m: float
    maps: bool = True
    threads: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    weights: str = ""
    noise_sd: float | None = None
    smooth_m: float | None = None
    intervals: bool = False


@dataclass(frozen=True, slots=True)
class CohortItem:
    """Hold one scan and the settings of all."""

    scan: CohortScan
    settings: CohortSettings


def fit_item(item: CohortItem) -> tuple[bytes, int]:
    """Return the record of one scan as JSON and whether it failed; its maps are in place by then, each file whole.

    What is wrong with one scan stops no other. Only a folder that cannot be written ends the run.
    """
    head = {"scan": item.scan.dwi, "subject": item.scan.subject, "session": item.scan.session}
    try:
        record = {**head, **_fit(item)}
    except OutputError:
        raise
    except KroghError as error:
        record = {**head, "reason": str(error)}
    except MemoryError:
        record = {**head, "reason": "more data than the free memory holds; use a smaller mask, or fewer --workers"}
    except Exception as error:  # a scan that shows a fault of ours must not cost the others
        record = {**head, "reason": f"internal: {type(error).__name__}: {' '.join(str(error).split())[:200]}"}
    return json.dumps(_plain(record), separators=(",", ":"), allow_nan=False).encode(), int("reason" in record)


def input_digests(root: Path, scans: Sequence[CohortScan]) -> list[dict[str, str]]:
    """Return the files of every scan, with what stands beside protocol and labels, and their SHA-256; none where unreadable."""

    def digest(name: str) -> str:
        try:
            return file_sha256(root / name)
        except OSError:
            return "unreadable"

    def beside(name: str) -> list[str]:
        stem = name.removesuffix(".gz").rpartition(".")[0]
        return [f"{stem}{end}" for end in (".json", ".tsv") if f"{stem}{end}" != name and (root / f"{stem}{end}").is_file()]

    files = [[s.dwi, s.protocol, s.mask, s.roi, s.labels, *beside(s.protocol), *beside(s.roi)] for s in scans]
    return [{name: digest(name) for name in names if name} for names in files]


def _fit(item: CohortItem) -> dict[str, Any]:
    scan, settings, root = item.scan, item.settings, Path(item.settings.root)
    if scan.fault:
        raise InputError(Path(scan.dwi).name, got=scan.fault)
    protocol = read_protocol(root / scan.protocol if scan.protocol else settings.protocol)
    image = read_dwi(root / scan.dwi)
    inside = read_mask(root / scan.mask, image) if scan.mask else _signal(image, Path(scan.dwi).name)
    labels = read_labels(root / scan.roi, image) if scan.roi else None
    tissues = read_labels(root / scan.labels, image) if scan.labels else None
    network = {"weights": _network(settings.weights)} if settings.weights else {}
    result = fit_scan(
        image.data, protocol, inside, estimator=settings.estimator, model=settings.model, labels=labels, tissues=tissues,
        region_names=read_region_names(root / scan.roi) if scan.roi else None, noise_sd=settings.noise_sd,
        vessels=Vessels(settings.blood_fraction, settings.radius_m, "stated"), threads=settings.threads,
        options={**settings.options, **network}, intervals=settings.intervals, smooth_m=settings.smooth_m,
        voxel_size_m=[1e-3 * edge for edge in image.voxel_size_mm],
    )  # fmt: skip
    if settings.maps:
        _put_maps(item, result, image, protocol, inside)
    return {
        "regions": list(iter_rows(result.regions)), "voxels": int(inside.sum()), "snr": result.snr, "noise_sd": result.noise_sd,
        "counts": result.counts, "mask": scan.mask, "roi": scan.roi, "protocol_hash": protocol.content_hash(),
        "notes": list(result.notes),
    }  # fmt: skip


@lru_cache(maxsize=1)
def _network(folder: str) -> Checkpoint:
    """Return a trained network, read once by each process."""
    return read_weights(Path(folder))


def _signal(image: Image, name: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    with np.errstate(invalid="ignore"):
        inside = np.asarray((image.data > 0).any(axis=3))
    if not inside.any():
        raise InputError(name, got="no voxel with a signal above 0", expected="magnitude signals")
    return inside


def _put_maps(item: CohortItem, result: FexiMaps, image: Image, protocol: Protocol, inside: Any) -> None:
    """Write the maps of a scan beside the results and move each file into its place in the dataset."""
    scan, out = item.scan, Path(item.settings.out)
    sources = {role: Path(name).name for role in ("dwi", "mask", "roi", "labels", "protocol") if (name := getattr(scan, role))}
    with output_errors(out.name):
        scratch = Path(tempfile.mkdtemp(prefix=".scan-", suffix=".partial", dir=out / "chunks"))
        try:
            write_fit(scratch, result, image, protocol, inside, subject=scan.subject, entities=scan.entities, sources=sources)
            for path in sorted(p for p in (scratch / f"sub-{scan.subject}").rglob("*") if p.is_file()):
                target = out / path.relative_to(scratch)
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _plain(value: Any) -> Any:
    """Return `value` in what JSON knows; NaN and open ends become null."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not np.isfinite(value) else value
