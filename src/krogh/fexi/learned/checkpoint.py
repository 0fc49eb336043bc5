"""A trained network as plain tensors and a record that says what it is for; it refuses everything else.

Files are the business of ``krogh.io.weights``. Nothing here is executed on reading: names, numbers and tensors only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from krogh.errors import InputError, UsageError
from krogh.fexi.interface import SignalModel
from krogh.fexi.learned.conditions import unfiltered_level
from krogh.fexi.learned.novelty import Region
from krogh.fexi.learned.prior import MixturePrior
from krogh.fexi.learned.sampling import Signals
from krogh.fexi.learned.scan_prior import ScanPrior
from krogh.fexi.protocol import Protocol

__all__ = ["Checkpoint", "load_into", "model_record", "protocol_key"]

FORMAT = 1
_UNSEEN = (
    "directions", "filter_directions", "average", "slice_thickness_m", "field_strength_t", "small_delta_s", "big_delta_s",
)  # fmt: skip


def protocol_key(protocol: Protocol) -> str:
    """Return the hash of what a signal model sees of a protocol (no directions, no scanner)."""
    unseen: dict[str, Any] = dict.fromkeys(_UNSEEN)
    return dataclasses.replace(protocol, **unseen).content_hash()


def model_record(model: SignalModel) -> dict[str, Any]:
    """Return name, parameters, bounds and fixed inputs of a model as plain values."""
    inputs = {k: v for k, v in sorted(vars(model).items()) if k not in ("parameter_names", "units", "bounds")}
    return {
        "name": model.name, "parameters": list(model.parameter_names), "bounds": model.bounds.tolist(),
        "inputs": {k: list(v) if isinstance(v, tuple) else v for k, v in inputs.items()},
    }  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """Hold a trained network.

    Attributes
    ----------
    estimator : str
        Which estimator reads it.
    architecture : dict
        What is needed to build the network.
    model, protocol, protocol_hash, s0 :
        What it was trained for (records; hash of :func:`protocol_key`).
    snr : (float, float)
        Range of unfiltered S0 over noise SD.
    prior : MixturePrior or None
        Distribution of the tissues; None where the network saw no simulated tissue.
    training : dict
        Seed, rounds, score and history.
    priors : dict of int to ScanPrior
        What was learned from a scan, by tissue label (``hbayes``); else empty.
    tensors : dict of arrays
        Weights of the network, and the region of the training under ``novelty.``.
    """

    estimator: str
    architecture: dict[str, Any]
    model: dict[str, Any]
    protocol: dict[str, Any]
    protocol_hash: str
    s0: str
    snr: tuple[float, float]
    prior: MixturePrior | None
    training: dict[str, Any]
    tensors: dict[str, NDArray[Any]] = field(repr=False)
    priors: dict[int, ScanPrior] = field(default_factory=dict)

    @classmethod
    def of(
        cls, estimator: str, network: nn.Module, region: Region, model: SignalModel, protocol: Protocol, *,
        architecture: Mapping[str, Any], s0: str, prior: MixturePrior | None, training: Mapping[str, Any],
        priors: Mapping[int, ScanPrior] | None = None,
    ) -> Checkpoint:  # fmt: skip
        """Return the checkpoint of a trained network."""
        tensors = {f"network.{k}": v.detach().cpu().numpy().copy() for k, v in network.state_dict().items()}
        tensors |= {
            "novelty.mean": region.mean, "novelty.white": np.ascontiguousarray(region.white),
            "novelty.limits": np.array([region.distance, region.misfit]),
        }  # fmt: skip
        snr = (float(np.exp(region.log_snr[0])), float(np.exp(region.log_snr[1])))
        return cls(
            estimator, dict(architecture), model_record(model), protocol.as_dict(), protocol_key(protocol), s0, snr, prior,
            dict(training), tensors, dict(priors or {}),
        )  # fmt: skip

    @property
    def of_scan(self) -> bool:
        """Whether it was trained on the voxels of a scan, not on simulated ones of a prior."""
        return self.prior is None

    @property
    def region(self) -> Region:
        """What is inside of the training."""
        t = self.tensors
        return Region(
            t["novelty.mean"], t["novelty.white"], float(t["novelty.limits"][0]), float(t["novelty.limits"][1]),
            (float(np.log(self.snr[0])), float(np.log(self.snr[1]))),
        )  # fmt: skip

    def record(self) -> dict[str, Any]:
        """Return everything but the tensors as plain values."""
        content = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "tensors"}
        content["prior"] = None if self.prior is None else self.prior.as_dict()
        content["priors"] = {
            str(k): {"best": p.best.as_dict(), "predictive": p.predictive.as_dict(), "converged": p.converged}
            for k, p in self.priors.items()
        }
        return {"format": FORMAT, **content, "snr": list(self.snr)}

    @classmethod
    def from_record(cls, content: Mapping[str, Any], tensors: dict[str, NDArray[Any]]) -> Checkpoint:
        """Return the checkpoint of :meth:`record` and its tensors.

        Raises
        ------
        KeyError, TypeError, ValueError
            If the record is not one (the reader of the file says so in one line).
        """
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']}")
        fields = {f.name: content[f.name] for f in dataclasses.fields(cls) if f.name not in ("tensors", "priors")}
        for name in ("architecture", "model", "protocol", "training"):
            fields[name] = dict(fields[name])
        fields["prior"] = None if fields["prior"] is None else MixturePrior.from_dict(fields["prior"])
        fields["snr"] = (float(fields["snr"][0]), float(fields["snr"][1]))
        return cls(**fields, tensors=tensors, priors={int(k): _scan_prior(p) for k, p in content.get("priors", {}).items()})

    def check(self, estimator: str, voxels: Signals) -> None:
        """Refuse another estimator, and voxels of another model, protocol or kind of S0.

        Raises
        ------
        UsageError
            Naming what differs and what to do.
        """
        if estimator != self.estimator:
            raise UsageError(
                "weights", got=f"a network of {self.estimator}", expected=estimator, hint=f"--estimator {self.estimator}"
            )
        if (here := protocol_key(voxels.protocol)) != self.protocol_hash:
            raise UsageError(
                "weights", got=f"a scan with protocol {here}", expected=f"{self.protocol_hash}, for which it was trained",
                hint="train one for this protocol (krogh fexi train)",
            )  # fmt: skip
        if (record := model_record(voxels.model)) != self.model:
            part = next((k for k in ("name", "parameters", "bounds") if record[k] != self.model.get(k)), "inputs")
            raise UsageError(
                "weights", got=f"model {voxels.model.name} with another {part}", expected=f"{self.model.get('name')} as trained",
                hint="give the same --model, --bound, --fix and --relax as in training, or train one for this model",
            )  # fmt: skip
        if voxels.known != (self.s0 == "known"):
            raise UsageError("weights", got=f"S0 {'known' if voxels.known else 'free'}", expected=f"S0 {self.s0}, as trained")

    def check_noise(self, voxels: Signals) -> None:
        """Refuse a scan whose median SNR was not trained.

        Raises
        ------
        InputError
            Naming the SNR and the range.
        """
        median = float(np.median(unfiltered_level(voxels)))
        low, high = self.snr
        if not 0.95 * low <= median <= 1.05 * high:
            raise InputError(
                "weights", got=f"a scan with SNR {median:.3g} (median)",
                expected=f"{low:.3g} to {high:.3g}, for which it was trained",
                hint="train one on this scan (krogh fexi train with the scan)" if self.of_scan else
                f"train one with --snr {min(low, 0.7 * median):.2g}:{max(high, 1.4 * median):.2g}",
            )  # fmt: skip


def _scan_prior(content: Mapping[str, Any]) -> ScanPrior:
    best, predictive = (MixturePrior.from_dict(content[name]) for name in ("best", "predictive"))
    return ScanPrior(best, predictive, bool(content["converged"]))


def load_into(network: nn.Module, checkpoint: Checkpoint) -> nn.Module:
    """Return `network` with the weights of `checkpoint`, ready for use.

    Raises
    ------
    InputError
        If the tensors do not fit the architecture.
    """
    stored = {k[8:]: torch.as_tensor(np.array(v)) for k, v in checkpoint.tensors.items() if k.startswith("network.")}
    try:
        network.load_state_dict(stored)
    except RuntimeError:
        raise InputError(
            "weights", got="tensors that do not fit the stated architecture", expected="files of one training", hint="train again"
        ) from None
    return network.eval()
