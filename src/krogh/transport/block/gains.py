"""Eliminate the membranes face by face: how the fluxes answer the cells behind the ports.

For fixed cells the fluxes of a face answer a small system, ``dJ = Phi - J + Phi' dS``, with traces S that follow both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from krogh.transport.block.laws import Laws, LawValues, apply_faces, invert_faces

__all__ = ["Gains", "gains_of"]


@dataclass(frozen=True)
class Gains:
    """The answer of the fluxes to the cells: ``dJ = own + cell dU``.

    Attributes
    ----------
    cell : array (K, S, P, S, F)
        By the cells behind the ports [m/s].
    own : array (K, S, F)
        By the laws' own misfit [mol/(m2 s)].
    """

    cell: np.ndarray
    own: np.ndarray

    def through(self, change: np.ndarray) -> np.ndarray:
        """Return the fluxes (K, S, F) that a change of the port cells (P, S, F) causes."""
        k, s, p, _, faces = self.cell.shape
        flat = np.ascontiguousarray(change).reshape(p * s, faces)
        return apply_faces(self.cell.reshape(k * s, p * s, faces), flat).reshape(k, s, faces)


def gains_of(laws: Laws, values: LawValues, miss: np.ndarray) -> Gains:
    """Return the gains for laws linearised at `values`, whose fluxes exceed those that were used so far by `miss`."""
    (k, s, faces), p = miss.shape, laws.ports
    inverse = invert_faces(np.eye(k * s) - laws.matrix(values, laws.own_weight))
    unit = np.broadcast_to(np.eye(p)[:, None, :, None], (p, s, p, 1))
    by_cell = laws.matrix(values, unit).transpose(1, 2, 0)
    cell = np.einsum("abf,bcf->acf", inverse, by_cell).reshape(k, s, p, s, faces)
    return Gains(cell, apply_faces(inverse, miss.reshape(k * s, faces)).reshape(k, s, faces))
