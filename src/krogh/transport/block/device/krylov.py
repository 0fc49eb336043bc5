"""Solve a system on the planes by GMRES without leaving the device: the processor looks every few products."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

__all__ = ["gmres"]

Operator = Callable[[torch.Tensor], torch.Tensor]

#: Products between two looks at the residual: a look waits for the device, a product too many costs as much.
_LOOK = 3


def gmres(
    apply: Operator, b: torch.Tensor, precondition: Operator, *, tolerance: float, restart: int = 60, most: int = 240
) -> tuple[torch.Tensor, int]:
    """Return (x, products) with ``|b - A x| <= tolerance |b|``, right-preconditioned; vectors of any shape.

    Each vector is made orthogonal twice by classical Gram-Schmidt, two matrix products, which is as good as one by one
    (Giraud et al. 2005, doi:10.1007/s00211-005-0615-4). See :func:`krogh.transport.linear.gmres.gmres`.
    """
    x = torch.zeros_like(b)
    goal = tolerance * float(torch.linalg.vector_norm(b))
    residual, used = b, 0
    while used < most:
        step, count, reached = _cycle(apply, residual, precondition, goal, min(restart, most - used))
        x, used = x + step, used + count
        if count == 0 or (reached and tolerance >= 1e-7):
            break
        residual = b - apply(x)
        if float(torch.linalg.vector_norm(residual)) <= 1.5 * goal:
            break
    return x, used


def _cycle(apply: Operator, b: torch.Tensor, precondition: Operator, goal: float, m: int) -> tuple[torch.Tensor, int, bool]:
    """Return the update of at most `m` products, how many it took, and whether the goal was reached."""
    beta = float(torch.linalg.vector_norm(b))
    if beta <= goal:
        return torch.zeros_like(b), 0, True
    basis = b.new_zeros(m + 1, b.numel())
    images = b.new_zeros(m, b.numel())
    columns = b.new_zeros(m, m + 1)
    basis[0] = b.reshape(-1) / beta
    count, y, left = 0, np.zeros(0), beta
    for k in range(m):
        image = precondition(basis[k].reshape(b.shape))
        images[k] = image.reshape(-1)
        w = apply(image).reshape(-1)
        before = basis[: k + 1]
        for _ in range(2):
            part = before @ w
            w = torch.addmv(w, before.T, part, alpha=-1.0)
            columns[k, : k + 1] += part
        length = torch.linalg.vector_norm(w)
        columns[k, k + 1] = length
        basis[k + 1] = torch.where(length > 1e-14 * beta, w / length, 0.0)
        count = k + 1
        if count % _LOOK == 0 or count == m:
            y, left = _least_squares(columns[:count, : count + 1].cpu().numpy().T, beta)
            if left <= goal:
                break
    return (torch.from_numpy(y).to(b) @ images[:count]).reshape(b.shape), count, left <= goal


def _least_squares(hessenberg: np.ndarray, beta: float) -> tuple[np.ndarray, float]:
    """Return the best weights of the vectors and the norm of what is left."""
    right = np.zeros(hessenberg.shape[0])
    right[0] = beta
    y = np.linalg.lstsq(hessenberg, right, rcond=None)[0]
    return y, float(np.linalg.norm(right - hessenberg @ y))
