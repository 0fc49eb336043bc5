"""Simulate FEXI signals of voxels or of a phantom, with noise; arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from krogh.errors import InputError
from krogh.fexi.interface import SignalModel
from krogh.fexi.noise import NoiseKind, add_noise, noise_sd
from krogh.fexi.phantom import Phantom
from krogh.fexi.protocol import Protocol
from krogh.runs.fexi_parameters import shown_by_name

__all__ = ["Noise", "Simulation", "draw_parameters", "simulate_phantom", "simulate_voxels", "unfiltered_b0"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Noise:
    """State the noise of a simulation: SNR on the unfiltered b = 0 (None: no noise), kind, coils."""

    snr: float | None = 50.0
    kind: NoiseKind = "rician"
    n_coils: int = 1


@dataclass(frozen=True)
class Simulation:
    """Hold simulated signals and their truth.

    Attributes
    ----------
    signals, clean : ndarray, shape (..., volume)
        With and without noise.
    noise_sd : float
        Standard deviation of the noise per channel, in the unit of the signals (mean, where a noise map was given).
    """

    signals: FloatArray
    clean: FloatArray
    noise_sd: float


def unfiltered_b0(protocol: Protocol) -> NDArray[np.bool_]:
    """Return which volumes have no filter and the smallest b of those [volume]; SNR refers to them."""
    unfiltered = protocol.filter_b_s_m2 == 0
    return unfiltered & (protocol.b_s_m2 == protocol.b_s_m2[unfiltered].min())


def draw_parameters(
    model: SignalModel, ranges: Mapping[str, tuple[float, float]], count: int, rng: np.random.Generator
) -> FloatArray:
    """Return `count` tissues drawn uniformly from `ranges` [voxel, param], SI.

    Parameters
    ----------
    model : SignalModel
        Whose parameters are drawn.
    ranges : mapping of str to (low, high)
        Short name (``adc``, ``axr``, ...) to limits in the unit shown to users; equal limits fix a value.
    count : int
        Voxels.
    rng : numpy.random.Generator
        Source of the random numbers.

    Raises
    ------
    InputError
        If a parameter has no range, or limits descend or are not finite.
    """
    if count < 1:
        raise InputError("voxels", got=count, expected="a whole number >= 1")
    limits: dict[str, tuple[float, float]] = {}
    for name, (low, high) in ranges.items():
        parameter = shown_by_name(name, "range", model.parameter_names)
        if not (np.isfinite(low) and np.isfinite(high) and low <= high):
            raise InputError(f"range of {name}", got=f"{low} to {high}", expected="finite limits, low first")
        limits[parameter.field] = (low * parameter.si_per_unit, high * parameter.si_per_unit)
    if missing := [field for field in model.parameter_names if field not in limits]:
        raise InputError(
            "range", got=f"none for {', '.join(missing)}", expected="one per parameter", hint="e.g. --uniform adc=0.1:4"
        )
    return np.stack([rng.uniform(*limits[field], size=count) for field in model.parameter_names], axis=1)


def simulate_voxels(
    model: SignalModel, protocol: Protocol, theta: FloatArray, noise: Noise, rng: np.random.Generator
) -> Simulation:
    """Return signals [voxel, volume] of the tissues `theta` [voxel, param] with S0 = 1; each voxel has the SNR of `noise`."""
    clean = model.predict(theta, np.ones((theta.shape[0], protocol.n_series)), protocol)
    if noise.snr is None:
        return Simulation(clean, clean, 0.0)
    sd = noise_sd(clean, unfiltered_b0(protocol), noise.snr, per_voxel=True)
    return Simulation(add_noise(clean, sd, rng, kind=noise.kind, n_coils=noise.n_coils), clean, float(sd.mean()))


def simulate_phantom(
    phantom: Phantom, protocol: Protocol, noise: Noise, rng: np.random.Generator, *, noise_map: NDArray[np.float32] | None = None
) -> Simulation:
    """Return the scan of `phantom` with noise everywhere, air included.

    The mean over the mask has the SNR of `noise`; `noise_map` (x, y, z), if given, shapes the SD (its mean over the mask is 1).

    Raises
    ------
    InputError
        If `noise_map` has another shape, or values that are negative, not finite or all 0.
    """
    clean = phantom.signals.astype(np.float64)
    if noise.snr is None:
        return Simulation(clean, clean, 0.0)
    sd = noise_sd(clean[phantom.mask], unfiltered_b0(protocol), noise.snr)
    relative: Sequence[float] | FloatArray = np.ones(1)
    if noise_map is not None:
        if noise_map.shape != phantom.mask.shape:
            raise InputError("noise map", got=f"shape {noise_map.shape}", expected=str(phantom.mask.shape))
        mean = float(noise_map[phantom.mask].mean())
        if not (np.isfinite(noise_map).all() and (noise_map >= 0).all() and mean > 0):
            raise InputError("noise map", got="negative, non-finite or only zero values", expected="values >= 0")
        relative = (noise_map / mean)[..., None].astype(np.float64)
    noisy = add_noise(clean, sd * np.asarray(relative), rng, kind=noise.kind, n_coils=noise.n_coils)
    return Simulation(noisy, clean, float(sd))
