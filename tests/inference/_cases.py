"""Small problems whose answers are known: a decay with an exact solution, and the pumped layer A of the notes."""

import numpy as np
from bench.pinn_cases import decaying
from scipy.special import wrightomega

from krogh.barrier.model import Barrier, Layer, Membrane
from krogh.barrier.routes import Efflux, Passive
from krogh.inference.networks import Networks, Rerun
from krogh.inference.observations import Observations
from krogh.inference.target import Target, flat_prior
from krogh.transport.problem import Problem, solve

#: P [m/s], Vmax [mol/(m2 s)], Km [mol/m3] of case A.
TRUTH = np.array([1e-6, 0.5e-6, 0.5])
TIMES = np.linspace(3.0, 60.0, 20)


def observations(t, value, *, sd=0.0, cv=0.0, lloq=0.0, matrix="tissue"):
    n = len(t)
    full = [np.broadcast_to(np.asarray(v, dtype=float), (n,)).copy() for v in (sd, cv, lloq)]
    return Observations(("study",) * n, (matrix,) * n, np.asarray(t, dtype=float), np.asarray(value, dtype=float), *full,
                        np.arange(n) + 2)  # fmt: skip


def decay(t):
    """Return the model a exp(-k t)."""
    return lambda theta: theta[:, :1] * np.exp(-theta[:, 1:2] * t)


def decay_target(data, *, center=(0.0, 0.0), reach=7.0):
    center = np.array(center)
    return Target(("a", "k"), decay(data.t_s), data, center - reach, center + reach, *flat_prior(2))


#: Times of `saturable`, in units of starting concentration over starting rate.
EARLY = np.linspace(0.05, 1.2, 20)


def saturable(theta):
    """Return c(EARLY) of dc/dt = -Vmax c/(Km + c), c(0) = 1, exactly: c = Km W(exp((1 - Vmax t)/Km)/Km)."""
    vmax, km = theta[:, :1], theta[:, 1:]
    return km * wrightomega((1 - vmax * EARLY) / km - np.log(km)).real


def saturable_target(km, rng, *, cv=0.05):
    """Return the target of Vmax and Km of simulated data, Vmax such that the first rate is 0.8, and the truth."""
    truth = np.array([0.8 * (1 + km), km])
    data = observations(EARLY, EARLY, cv=cv)
    data = data.with_values(data.draw(saturable(truth[None])[0], rng))
    center = np.log(truth)
    return Target(("Vmax", "Km"), saturable, data, center - 7, center + 7, *flat_prior(2)), center


def _problem(p, vmax, km, cells):
    column = [np.asarray(x)[:, None, None] for x in (p, vmax, km)]
    layer = Layer("tissue", 20e-6, 500e-12, 1.0, loss_per_s=0.02)
    wall = Membrane("wall", 0, (Passive(column[0]), Efflux(*column[1:])))
    blood = decaying()
    repeated = type(blood)(*(np.repeat(getattr(blood, f), len(p), 0) for f in ("start_s", "rate_per_s", "coefficient", "fu")))
    return Problem(Barrier(("drug",), (layer,), (wall,), batch=len(p)), repeated, float(TIMES[-1]), cells=cells)


def by_volumes(theta, *, cells=64, rtol=1e-4):
    """Return the mean of the layer at TIMES for rows of (P, Vmax, Km)."""
    found = solve(_problem(*theta.T, cells), rtol=rtol, stops_s=TIMES)
    return found.medium("tissue", found.sample(TIMES))[..., 0].T


def networks(free, *, truth=TRUTH, tol=1e-4):
    """Return networks that predict the mean of the layer at TIMES from the first `free` parameters."""

    def problem(theta):
        return _problem(*np.concatenate([theta, truth[free:]])[:, None], 64)

    return Networks([(Rerun(problem, lambda s, _: s.medium("tissue", s.sample(TIMES))[..., 0], tol=tol), np.arange(TIMES.size))],
                    TIMES.size)  # fmt: skip


def layer_target(value, free, *, predict=by_volumes, truth=TRUTH, step=1e-3, **errors):
    """Return the target of case A with the first `free` parameters unknown."""
    names = ("P", "Vmax", "Km")[:free]

    def only(theta):
        return predict(np.concatenate([theta, np.broadcast_to(truth[free:], (len(theta), 3 - free))], 1))

    center = np.log(truth[:free])
    return Target(names, only, observations(TIMES, value, **errors), center - 7, center + 7, *flat_prior(free), step)
