"""What the neighbours of a voxel say of it: a Gaussian field in each component of the prior, and local weights.

In component k of the prior (mean m, covariance R R') a voxel is u = m + R t. Its t is partly shared with its neighbours,

    t_v = sqrt(rho) f(x_v) + sqrt(1 - rho) e_v,    Cov(f(x), f(x')) = exp(-2 ln2 |x - x'| / FWHM),

coordinates of f and e being independent and of variance 1, so that the prior of a voxel alone is what it was. With the signals
reduced to Gaussian messages on t (:mod:`krogh.fexi.learned.messages`), weighted by the probability of the component, t given the
voxels around v without v itself is Gaussian too. Voxels speak of the field at the centre of their block: what this leaves open of
the field at their own place is counted as their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from krogh.fexi.estimators._search import run_chunks
from krogh.fexi.learned.messages import Messages
from krogh.fexi.learned.neighbours import Blocks

__all__ = ["Field", "gain", "local_field", "local_weights"]

FloatArray = NDArray[np.float64]
_CHUNK = 256


@dataclass(frozen=True)
class Field:
    """Hold mean [voxel, param] and covariance [voxel, param, param] of t given the neighbours, the voxel itself left out."""

    mean: FloatArray
    cov: FloatArray


def _to_centre(precision: FloatArray, level: FloatArray, rho: FloatArray, near: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the messages on f at the centre of the block from those on t; `near` [voxel] is its correlation with f there."""
    scale = np.sqrt(rho) * near[:, None]
    through = np.linalg.inv(np.eye(rho.size) + precision * (1 - scale**2)[:, None, :])  # (1 + P D)^-1
    passed = through @ precision
    passed = 0.5 * (passed + passed.transpose(0, 2, 1))
    return scale[:, :, None] * passed * scale[:, None, :], scale * np.einsum("vpq,vq->vp", through, level)


def local_field(
    messages: Messages, k: int, rho: FloatArray, blocks: Blocks, rows: NDArray[np.intp], *, threads: int = 1
) -> Field:
    """Return t of component `k` at the voxels `rows` given the voxels around them, of which `rho` [param] is shared.

    With A the messages of the blocks, C the correlation between them and c that with the voxel, the field at the voxel has mean
    ``c' (1 + A C)^-1 a`` and variance ``1 - c' (1 + A C)^-1 A c``.
    """
    n_par, m = rho.size, blocks.between.shape[0]
    precision, level = _to_centre(messages.precision[:, k], messages.level[:, k], rho, blocks.to_own())
    heard = messages.share[:, k + 1] * messages.speaks
    precision, level = heard[:, None, None] * precision, heard[:, None] * level
    all_precision, all_level = blocks.sums(precision), blocks.sums(level)
    out, root = Field(np.empty((rows.size, n_par)), np.empty((rows.size, n_par, n_par))), np.sqrt(rho)

    def work(part: slice) -> None:
        some = rows[part]
        around, near = blocks.around[blocks.own[some]], blocks.to_around(some)
        a, h = all_precision[around], all_level[around]
        a[:, 0] -= precision[some]
        h[:, 0] -= level[some]
        size = m * n_par
        matrix = np.eye(size) + np.einsum("vipq,ij->vipjq", a, blocks.between).reshape(-1, size, size)
        right = np.concatenate([h[..., None], a * near[:, :, None, None]], axis=3).reshape(-1, size, 1 + n_par)
        found = np.einsum("vi,vipq->vpq", near, np.linalg.solve(matrix, right).reshape(-1, m, n_par, 1 + n_par))
        known = 0.5 * (found[:, :, 1:] + found[:, :, 1:].transpose(0, 2, 1))
        out.mean[part], out.cov[part] = root * found[:, :, 0], np.eye(n_par) - root[:, None] * known * root

    run_chunks(work, rows.size, threads=threads, progress=None, chunk=_CHUNK)
    return out


def local_weights(messages: Messages, weight: FloatArray, worth: float, blocks: Blocks, rows: NDArray[np.intp]) -> FloatArray:
    """Return the weights of the parts at the voxels `rows` [voxel, 1 + component]: of the scan, and as seen around them.

    Neighbours count by their correlation; the weights of the scan, `weight`, count as much as `worth` voxels.
    """
    if not np.isfinite(worth):
        return np.tile(weight, (rows.size, 1))
    told = messages.share * messages.speaks[:, None]
    near = blocks.to_around(rows)
    seen = np.einsum("vi,vik->vk", near, blocks.sums(told)[blocks.around[blocks.own[rows]]]) - near[:, :1] * told[rows]
    wanted = worth * weight + np.maximum(seen, 0.0)
    return np.asarray(wanted / wanted.sum(axis=1, keepdims=True))


def gain(precision: FloatArray, level: FloatArray, field: Field) -> FloatArray:
    """Return ln of the evidence of each voxel under `field` over that under N(0, 1), from its message [voxel]."""
    eye, none = np.eye(level.shape[1]), np.zeros_like(level)
    return _log_evidence(precision, level, field.mean, field.cov) - _log_evidence(precision, level, none, eye)


def _log_evidence(precision: FloatArray, level: FloatArray, mean: FloatArray, cov: FloatArray) -> FloatArray:
    """Return ln of the integral of ``exp(h t - t' P t / 2) N(t; mean, cov)`` [voxel]."""
    there = np.einsum("vpq,vq->vp", precision, mean)
    inner, rest = np.eye(mean.shape[1]) + cov @ precision, (level - there)[..., None]
    pull = rest[..., 0] * np.linalg.solve(inner, cov @ rest)[..., 0]
    return np.asarray(np.sum(mean * (level - 0.5 * there) + 0.5 * pull, axis=1) - 0.5 * np.linalg.slogdet(inner)[1])
