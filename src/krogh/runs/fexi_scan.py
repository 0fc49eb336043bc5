"""Take a FEXI scan apart into the voxels that are fitted: shapes checked, noise SD given or estimated, SNR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from krogh.errors import InputError
from krogh.fexi.estimators import get_estimator
from krogh.fexi.interface import SignalModel
from krogh.fexi.noise import estimate_noise_sd
from krogh.fexi.protocol import Protocol
from krogh.runs.fexi_simulate import unfiltered_b0

__all__ = ["Voxels", "check_shapes", "gather_voxels"]

_SAMPLE = 20000


@dataclass(frozen=True)
class Voxels:
    """Hold a scan as its voxels: signals of the whole grid, and the places in it that are fitted.

    Attributes
    ----------
    flat : ndarray, shape (voxel, volume)
        Signals of the grid, x fastest.
    inside : ndarray of int
        Voxels to fit.
    noise : float, ndarray (voxel,) or None
        Noise SD in the unit of the signals; None where it is not known.
    source : str
        Where the noise SD comes from.
    tissue : ndarray of int (voxel,) or None
        Tissue labels.
    threads : int
        For what is compiled.
    """

    model: SignalModel
    protocol: Protocol
    flat: NDArray[Any]
    inside: NDArray[np.intp]
    noise: float | NDArray[np.float64] | None
    source: str
    tissue: NDArray[np.int32] | None
    threads: int

    def take(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Return the signals of `rows` and what an estimator is told beside them."""
        common: dict[str, Any] = {"noise_sd": self.noise[rows] if isinstance(self.noise, np.ndarray) else self.noise}
        if self.tissue is not None:
            common["labels"] = self.tissue[rows]
        return self.flat[rows].astype(np.float64), {**common, "threads": self.threads}

    def sample(self) -> NDArray[np.intp]:
        """Return at most 20,000 voxels (of each tissue, where there are labels), evenly over the scan."""
        groups = [self.inside]
        if self.tissue is not None:
            label = self.tissue[self.inside]
            groups = [self.inside[label == v] for v in np.unique(label)]
        return np.concatenate([g[np.linspace(0, g.size - 1, min(g.size, _SAMPLE)).astype(np.intp)] for g in groups])

    def index(self, grid: tuple[int, ...]) -> NDArray[np.int64]:
        """Return where the voxels to fit lie on the `grid` of the scan [voxel, 3]."""
        return np.stack(np.unravel_index(self.inside, grid, order="F"), axis=1).astype(np.int64)

    def require_noise(self) -> None:
        """Refuse a scan without noise SD.

        Raises
        ------
        InputError
            Saying why it is not known, and how to give it.
        """
        if self.noise is None:
            raise InputError(
                "noise SD", got=self.source, expected="a value, for an estimator that states posteriors",
                hint="give --noise-sd or --noise-map",
            )  # fmt: skip

    @property
    def mean_noise(self) -> float | None:
        """Mean noise SD of the voxels that are fitted."""
        if self.noise is None:
            return None
        return float(np.mean(self.noise[self.inside] if isinstance(self.noise, np.ndarray) else self.noise))

    @property
    def snr(self) -> float | None:
        """Mean unfiltered signal at b = 0 over the noise SD."""
        if self.noise is None:
            return None
        signal = self.flat[self.inside][:, unfiltered_b0(self.protocol)].mean(axis=1, dtype=np.float64)
        sd = self.noise[self.inside] if isinstance(self.noise, np.ndarray) else self.noise
        ratio = (signal / sd)[np.isfinite(signal)]
        return float(ratio.mean()) if ratio.size else None


def gather_voxels(
    data: NDArray[Any], protocol: Protocol, mask: NDArray[np.bool_], model: SignalModel, *, noise_sd: Any = None,
    tissues: NDArray[np.int32] | None = None, threads: int = 1,
) -> Voxels:  # fmt: skip
    """Return the voxels of a scan (x, y, z, volume); without `noise_sd` it is estimated from the residuals in `mask`.

    Raises
    ------
    InputError
        If shapes do not match, the mask is empty, or the noise SD is not > 0.
    """
    check_shapes(data, protocol, mask, {"mask": mask, "tissue labels": tissues})
    flat = data.reshape((-1, data.shape[3]), order="F")
    inside = np.flatnonzero(mask.ravel(order="F"))
    noise, source = _noise(flat, inside, protocol, model, noise_sd, threads)
    tissue = None if tissues is None else tissues.ravel(order="F")
    return Voxels(model, protocol, flat, inside, noise, source, tissue, threads)


def check_shapes(data: NDArray[Any], protocol: Protocol, mask: NDArray[Any], others: dict[str, NDArray[Any] | None]) -> None:
    """Refuse a scan that does not fit its protocol, other images on another grid, and an empty mask.

    Raises
    ------
    InputError
        Naming the shapes.
    """
    if data.ndim != 4:
        raise InputError("scan", got=f"{data.ndim} dimensions", expected="4: x, y, z, volume")
    if data.shape[3] != protocol.n_volumes:
        raise InputError(
            "scan", got=f"{data.shape[3]} volumes", expected=f"{protocol.n_volumes} as the protocol has rows",
            hint="is it the right protocol?",
        )  # fmt: skip
    for what, array in others.items():
        if array is not None and array.shape != data.shape[:3]:
            raise InputError(what, got=f"shape {array.shape}", expected=str(data.shape[:3]))
    if not mask.any():
        raise InputError("mask", got="no voxel inside", expected="at least one")


def _noise(
    flat: NDArray[Any], inside: NDArray[np.intp], protocol: Protocol, model: SignalModel, given: Any, threads: int
) -> tuple[float | NDArray[np.float64] | None, str]:
    if given is not None:
        if np.ndim(given) == 0:
            if not (np.isfinite(given) and given > 0):
                raise InputError("noise SD", got=given, expected="a number > 0 in the unit of the scan")
            return float(given), "given"
        values = np.asarray(given, np.float64).ravel(order="F")
        if values.size != flat.shape[0] or not (np.isfinite(values[inside]).all() and (values[inside] > 0).all()):
            raise InputError(
                "noise map", got="another shape, or values that are not > 0 in the mask", expected="the grid of the scan"
            )
        return values, "given map"
    sample = inside[:: max(1, inside.size // _SAMPLE)]
    signals = flat[sample].astype(np.float64)
    scale = float(np.nanmax(np.where(np.isfinite(signals), signals, np.nan), initial=0.0))
    found = estimate_noise_sd(get_estimator("nlls")(model, protocol, signals, threads=threads), model, protocol)
    if found is None or found < 1e-7 * scale:  # a noise-free scan leaves only rounding
        return None, "not known: too few volumes, or no noise, to estimate it"
    return found, "estimated from the residuals in the mask"
