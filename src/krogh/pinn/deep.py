"""Evaluate a trainable tanh network with its first derivatives, and the tangents of both by every hidden weight.

Values and derivatives go forward together, one product of matrices a layer::

    z = W a + b,   z_x = W a_x,   a = tanh z,   a_x = (1 - a^2) z_x          (likewise by tau)

For the output ``u = beta . a`` of the last layer the tangents by W and b come from one pass back, with ``s = 1 - a^2``::

    p = beta s,   r_x = -2 a z_x p          of the last layer; before it  p' = s' (p W),   r_x' = s' (r_x W) - 2 a' z_x' p'
    du/dW = p (x) a',   du_x/dW = r_x (x) a' + p (x) a_x',   du/db = p,   du_x/db = r_x

so no derivative is taken by automatic differentiation, and none of second order appears.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from krogh.pinn.basis import Depth

__all__ = ["Deep", "Tangent"]

#: A steeper plane fits between the points, where nothing holds it.
_STEEPEST = 6.0

Jet = tuple[np.ndarray, np.ndarray, np.ndarray]
Weights = tuple[tuple[np.ndarray, np.ndarray], ...]


@dataclass(frozen=True)
class Deep:
    """Hold one network of (xi, other maps of the depth, tau); its last hidden layer is what output weights are found for.

    Attributes
    ----------
    weights : tuple of (W (out, in), b (out,))
        Hidden layers.
    depth : Depth
        The map to xi.
    others : tuple of Depth
        Further maps of the depth that it sees: fronts of earlier doses.
    from_start : bool
        Multiply by (1 + tau)/2: nothing is there at the beginning, whatever the weights.
    """

    weights: Weights
    depth: Depth
    others: tuple[Depth, ...] = ()
    from_start: bool = False

    @classmethod
    def draw(
        cls, layers: Sequence[int], reach: tuple[float, float], rng: np.random.Generator, depth: Depth,
        others: tuple[Depth, ...] = (), *, from_start: bool = False,
    ) -> Deep:  # fmt: skip
        """Return a network with `layers` of so many neurons: planes through random points first, then Glorot's variance."""
        inputs = 2 + len(others)
        w = rng.uniform(-1, 1, (layers[0], inputs)) * np.array([reach[0]] * (inputs - 1) + [reach[1]])
        found = [(w, -(w * rng.uniform(-1, 1, w.shape)).sum(1))]
        for before, size in pairwise(layers):
            found.append((rng.standard_normal((size, before)) * np.sqrt(2 / (before + size)), np.zeros(size)))
        return cls(tuple(found), depth, others, from_start)

    @property
    def count(self) -> int:
        """Return the number of outputs of the last hidden layer."""
        return int(self.weights[-1][1].size)

    @property
    def hidden(self) -> int:
        """Return the number of hidden weights."""
        return sum(w.size + b.size for w, b in self.weights)

    def moved(self, step: np.ndarray) -> Deep:
        """Return the network with `step` (hidden,) added to its weights; none leaves the range of those that points can see."""
        out, at = [], 0
        for w, b in self.weights:
            new_w = np.clip(w + step[at : at + w.size].reshape(w.shape), -_STEEPEST, _STEEPEST)
            at += w.size
            out.append((new_w, b + step[at : at + b.size]))
            at += b.size
        return Deep(tuple(out), self.depth, self.others, self.from_start)

    def flat(self) -> np.ndarray:
        """Return all hidden weights in the order of `moved`."""
        return np.concatenate([part.ravel() for w, b in self.weights for part in (w, b)])

    def _inputs(self, xi: np.ndarray, tau: np.ndarray) -> list[np.ndarray]:
        """Return what the first layer sees, with its derivatives by xi and tau."""
        out = np.zeros((3, xi.size, 2 + len(self.others)))
        out[0, :, 0], out[0, :, -1] = xi, tau
        out[1, :, 0], out[2, :, -1] = 1.0, 1.0
        if self.others:
            x = self.depth.at((xi + 1) / 2)
            own = self.depth.xi(x)[1]
            for k, other in enumerate(self.others):
                out[0, :, 1 + k], slope = other.xi(x)
                out[1, :, 1 + k] = slope / own
        return list(out)

    def _forward(self, xi: np.ndarray, tau: np.ndarray) -> tuple[list[list[np.ndarray]], list[list[np.ndarray]]]:
        """Return (a, a_x, a_t) before every layer and after the last, and (z_x, z_t) of every layer."""
        now = self._inputs(xi, tau)
        passed, slopes = [now], []
        for w, b in self.weights:
            z_x, z_t = now[1] @ w.T, now[2] @ w.T
            a = np.tanh(now[0] @ w.T + b)
            s = 1 - a * a
            now = [a, s * z_x, s * z_t]
            passed.append(now)
            slopes.append([z_x, z_t])
        return passed, slopes

    def _gated(self, tau: np.ndarray, jet: Sequence[np.ndarray]) -> Jet:
        value, by_xi, by_tau = jet
        if not self.from_start:
            return value, by_xi, by_tau
        gate = 0.5 * (1 + tau)[:, None]
        return gate * value, gate * by_xi, gate * by_tau + 0.5 * value

    def __call__(self, xi: np.ndarray, tau: np.ndarray) -> Jet:
        """Return the last hidden values and their derivatives by xi and tau, each (point, output)."""
        return self._gated(tau, self._forward(xi, tau)[0][-1])

    def value(self, xi: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """Return the values alone."""
        a = self._inputs(xi, tau)[0]
        for w, b in self.weights:
            a = np.tanh(a @ w.T + b)
        return 0.5 * (1 + tau)[:, None] * a if self.from_start else a

    def tangents(self, beta: np.ndarray, xi: np.ndarray, tau: np.ndarray) -> Jet:
        """Return d/dweight of ``beta . (values, derivatives by xi and tau)``, each (point, hidden)."""
        passed, slopes = self._forward(xi, tau)
        parts: list[list[np.ndarray]] = [[], [], []]
        back = np.broadcast_to(beta, (xi.size, beta.size))
        turned = [np.zeros_like(back), np.zeros_like(back)]
        for layer in range(len(self.weights) - 1, -1, -1):
            a, (w, _) = passed[layer + 1][0], self.weights[layer]
            before = passed[layer]
            s = 1 - a * a
            p = s * back
            r = [s * t - 2 * a * z * p for t, z in zip(turned, slopes[layer], strict=True)]
            by_weight = [_outer(p, before[0])] + [_outer(r[k], before[0]) + _outer(p, before[1 + k]) for k in range(2)]
            for into, grad, bias in zip(parts, by_weight, (p, *r), strict=True):
                into[:0] = [grad, bias]
            back, turned = p @ w, [x @ w for x in r]
        return self._gated(tau, [np.concatenate(p, 1) for p in parts])


def _outer(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a[:, :, None] * b[:, None, :]).reshape(a.shape[0], -1)


@dataclass(frozen=True)
class Tangent:
    """Show a network and its tangents as features: a Gauss-Newton step in the weights is then one more least squares."""

    network: Deep
    beta: np.ndarray = field(repr=False)

    @property
    def count(self) -> int:
        """Return the number of outputs and of hidden weights."""
        return self.network.count + self.network.hidden

    def __call__(self, xi: np.ndarray, tau: np.ndarray) -> Jet:
        """Return values and derivatives, each (point, output and hidden weight)."""
        both = zip(self.network(xi, tau), self.network.tangents(self.beta, xi, tau), strict=True)
        value, by_xi, by_tau = (np.concatenate(x, 1) for x in both)
        return value, by_xi, by_tau

    def value(self, xi: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """Return the values alone."""
        return self(xi, tau)[0]
