"""Least squares layer after layer: the same as all at once."""

import numpy as np
import pytest

from krogh.pinn.chain import Link, solve_chain
from krogh.pinn.triangle import Triangle


def test_a_chain_is_solved_as_one_least_squares():
    rng = np.random.default_rng(0)
    sizes = [5, 3, 7]
    layers = [(rng.standard_normal((n + 2, n)), rng.standard_normal(n + 2)) for n in sizes]
    links = [[Link(None, rng.standard_normal((4, sizes[0])), rng.standard_normal(4))]]
    for before, behind in ((5, 3), (3, 7)):
        both = rng.standard_normal((6, before)), rng.standard_normal((6, behind))
        links.append([Link(*both, rng.standard_normal(6)), Link(both[0][:2], None, rng.standard_normal(2))])
    links.append([Link(rng.standard_normal((4, 7)), None, rng.standard_normal(4))])
    ends = np.cumsum([0, *sizes])
    rows, right = [], []
    for i, (a, f) in enumerate(layers):
        rows.append(np.pad(a, ((0, 0), (ends[i], ends[-1] - ends[i + 1]))))
        right.append(f)
    for face, held in enumerate(links):
        for link in held:
            row = np.zeros((link.target.size, ends[-1]))
            if link.before is not None:
                row[:, ends[face - 1] : ends[face]] = link.before
            if link.behind is not None:
                row[:, ends[face] : ends[face + 1]] = link.behind
            rows.append(row)
            right.append(link.target)
    whole = np.linalg.lstsq(np.concatenate(rows), np.concatenate(right), rcond=None)[0]
    assert np.concatenate(solve_chain(layers, links, Triangle())) == pytest.approx(whole, rel=1e-9)
