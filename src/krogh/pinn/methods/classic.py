"""Train one network for everything by Adam, then L-BFGS: the first sketch, kept as the baseline of a comparison.

The barrier is volumetric: each membrane is spread through the layer behind it (``D_eff = L / (L / D + 1 / P)``), pumps are a
sink there, and the concentration is that of blood at x = 0. Loss: mean squares of the equation, the start, the blood and
the closed far side at random points, even in time, derivatives by nested automatic differentiation. A smooth network has no
jump at a membrane and sees little of the first moments: its certificate, by the true equations, says so.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from krogh.barrier.routes import Efflux
from krogh.pinn.basis import Clock, Columns, Depth, Kernels
from krogh.pinn.certificate import certificate
from krogh.pinn.draw import Size
from krogh.pinn.faces import net_flux
from krogh.pinn.keep import another_run, fingerprint
from krogh.pinn.march import Trained
from krogh.pinn.methods.task import Task
from krogh.pinn.physics import Slab
from krogh.pinn.rows import law_terms
from krogh.pinn.stage import Stage
from krogh.pinn.window import Window

__all__ = ["run"]

_WIDTH, _DEPTH = 48, 3
_ADAM, _LBFGS, _RATE = 600, 250, 2e-3
_ADAM_ROUND, _LBFGS_ROUND = 100, 50
_INSIDE, _EDGE = 600, 120


def run(task: Task) -> list[Trained]:
    """Return one window per dose, all of the same network."""
    sketch = _Sketch(task)
    sketch.train()
    windows: list[Trained] = []
    for begin, end in zip(task.events[:-1], task.events[1:], strict=True):
        windows.append(sketch.window(begin, end, windows[-1].window if windows else None))
    return windows


def _law_of(values: Any, s: int, of: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]) -> Any:
    """Return what a law of the barrier takes from species `s` at the tensor `values` (S, point), with its own slope."""
    import torch

    net, slope = (torch.from_numpy(np.asarray(x)) for x in of(values.detach().numpy()))
    return net + slope * (values[s] - values[s].detach())


def _rounds(steps: int, size: int) -> list[int]:
    return [min(size, steps - k) for k in range(0, steps, size)]


class _Sketch:
    """Hold the network and the loss; concentrations over the highest in blood, lengths over all layers, times over the run."""

    def __init__(self, task: Task) -> None:
        import torch

        self.task, self.slab = task, task.slab
        self.pools = [(i, k) for i, x in enumerate(self.slab.sheets) for k in range(len(x.pools))]
        self.end = task.events[-1]
        self.edge = np.concatenate([[0.0], np.cumsum([x.thickness for x in self.slab.sheets])])
        t = np.linspace(0.0, self.end, 400)
        inflow = task.blood(t, False)
        self.top = max(float(np.abs(inflow).max()), 1e-300)
        self.run_of = fingerprint(task.slab, task.events, inflow.tolist(), task.seed, _ADAM, _LBFGS)
        outputs = self.slab.species * (1 + len(self.pools))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(task.seed)
            sizes = [2, *[_WIDTH] * _DEPTH, outputs]
            parts: list[Any] = []
            for a, b in pairwise(sizes):
                parts += [torch.nn.Linear(a, b, dtype=torch.float64), torch.nn.Tanh()]
            self.net = torch.nn.Sequential(*parts[:-1])
        self._points(np.random.default_rng(task.seed))

    @property
    def weights(self) -> int:
        """Return the number of trained weights."""
        return sum(p.numel() for p in self.net.parameters())

    # -- the loss ------------------------------------------------------------------------------------------------------------

    def _points(self, rng: np.random.Generator) -> None:
        import torch

        x, t = rng.uniform(0, self.edge[-1], _INSIDE), rng.uniform(0, self.end, _INSIDE)
        self.inside = torch.tensor(np.stack([x / self.edge[-1], t / self.end], 1), requires_grad=True)
        at = np.clip(np.searchsorted(self.edge, x, side="right") - 1, 0, len(self.slab.sheets) - 1)
        self.layer = [np.flatnonzero(at == i) for i in range(len(self.slab.sheets))]
        wall = rng.uniform(0, self.end, _EDGE)
        self.near = torch.tensor(np.stack([0 * wall, wall / self.end], 1))
        self.far = torch.tensor(np.stack([0 * wall + 1, wall / self.end], 1), requires_grad=True)
        self.before = torch.tensor(np.stack([rng.uniform(0, 1, _EDGE), 0 * wall], 1))
        self.blood = torch.tensor(self.task.blood(wall, False).T / self.top)

    def _slopes(self, value: Any, at: Any) -> Any:
        import torch

        return torch.autograd.grad(value.sum(), at, create_graph=True)[0]

    def _diffusivity(self, i: int, s: int) -> float:
        sheet, face = self.slab.sheets[i], self.slab.faces[i]
        passive = sum(self.slab.slope(r, s) for r in face.membrane or () if not isinstance(r, Efflux))
        d = float(sheet.diffusivity[s])
        return sheet.thickness / (sheet.thickness / d + 1 / passive) if passive > 0 else d

    def loss(self) -> Any:
        """Return the mean squares of all residuals, every weight one."""
        n_s = self.slab.species
        out = self.net(self.inside)
        jets = [self._slopes(out[:, k], self.inside) for k in range(out.shape[1])]
        total = (self.net(self.before) ** 2).mean() + ((self.net(self.near)[:, :n_s] - self.blood) ** 2).mean()
        far = self.net(self.far)
        residual = []
        for s in range(n_s):
            bend = self._slopes(jets[s][:, 0], self.inside)[:, 0]
            total = total + (self._slopes(far[:, s], self.far)[:, 0] ** 2).mean()
            for i, at in enumerate(self.layer):
                if at.size:
                    residual.append(self._inside(s, i, at, out, jets, bend))
        return total + sum((r**2).sum() for r in residual) / _INSIDE

    def _inside(self, s: int, i: int, at: np.ndarray, out: Any, jets: list[Any], bend: Any) -> Any:
        """Return the equation of one species in one layer, all terms per run and over the highest blood concentration."""
        import torch

        sheet, face, n_s = self.slab.sheets[i], self.slab.faces[i], self.slab.species
        rest = [r for r in face.membrane or () if isinstance(r, Efflux)]
        u = self.top * out[at, :n_s].T

        def sinks(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            net, slope = law_terms(sheet.laws, s, values)
            pumped, _, by_own = net_flux(rest, s, np.zeros_like(values), values)
            return net - pumped / sheet.thickness, slope - by_own / sheet.thickness

        taken = _law_of(u, s, sinks)
        r = sheet.capacity[s] * jets[s][at, 1] + self.end * sheet.loss[s] * out[at, s] + self.end / self.top * taken
        r = r - self.end * self._diffusivity(i, s) / self.edge[-1] ** 2 * bend[at]
        for k, pool in enumerate(sheet.pools):
            column = n_s * (1 + self.pools.index((i, k)))
            v = self.top * out[at, column : column + n_s].T
            gone = self.end / self.top * _law_of(v, s, partial(law_terms, pool.laws, s))
            change = pool.capacity[s] * jets[column + s][at, 1]
            given = self.end * pool.exchange[s] * (out[at, s] - out[at, column + s] / pool.trapping[s])
            r = torch.cat([r + change + gone, change - given + gone]) if k == 0 else torch.cat([r, change - given + gone])
        return r

    # -- training ------------------------------------------------------------------------------------------------------------

    def train(self) -> None:
        """Run Adam, then L-BFGS, in rounds; the state after each is stored, and what is stored already is not done again."""
        import torch

        adam = torch.optim.Adam(self.net.parameters(), _RATE)
        first, second = _rounds(_ADAM, _ADAM_ROUND), _rounds(_LBFGS, _LBFGS_ROUND)
        for k in range(self._taken(adam), len(first) + len(second)):
            loss = self._adam(adam, first[k]) if k < len(first) else self._lbfgs(second[k - len(first)])
            self._store(k + 1, adam)
            if self.task.progress is not None:
                self.task.progress((k + 1) / (len(first) + len(second)))
            if self.task.tell is not None:
                self.task.tell(Stage(0.0, self.end, None, k + 1, len(first) + len(second), loss))

    def _adam(self, adam: Any, steps: int) -> float:
        for _ in range(steps):
            adam.zero_grad()
            value = self.loss()
            value.backward()
            adam.step()
        return float(value.detach())

    def _lbfgs(self, steps: int) -> float:
        """Take some steps, the memory of curvature empty at first: a round needs nothing of the one before but the weights."""
        import torch

        optimiser = torch.optim.LBFGS(
            self.net.parameters(), max_iter=steps, history_size=50, line_search_fn="strong_wolfe",
            tolerance_grad=1e-12, tolerance_change=1e-15,
        )  # fmt: skip

        def closure() -> Any:
            optimiser.zero_grad()
            value = self.loss()
            value.backward()
            return value

        return float(optimiser.step(closure).detach())

    def _store(self, done: int, adam: Any) -> None:
        if self.task.keep is None:
            return
        tensors = {f"network.{k}": v.detach().numpy() for k, v in self.net.state_dict().items()}
        for i, moments in adam.state_dict()["state"].items():
            tensors |= {f"adam.{i}.{k}": v.detach().numpy() for k, v in moments.items()}
        self.task.keep.save("network", {"done": done, "run": self.run_of}, tensors)

    def _taken(self, adam: Any) -> int:
        """Take up the stored network; return how many rounds it has behind it."""
        import torch

        found = self.task.keep.load("network") if self.task.keep is not None else None
        if found is None:
            return 0
        record, stored = found
        if record.get("run") != self.run_of:
            raise another_run()
        tensors = {k: torch.from_numpy(np.array(v)) for k, v in stored.items()}
        moments: dict[int, dict[str, Any]] = {}
        try:
            self.net.load_state_dict({k[8:]: v for k, v in tensors.items() if k.startswith("network.")})
            for key, value in tensors.items():
                if key.startswith("adam."):
                    _, i, name = key.split(".")
                    moments.setdefault(int(i), {})[name] = value
            adam.load_state_dict({"state": moments, "param_groups": adam.state_dict()["param_groups"]})
            return int(record["done"])
        except (RuntimeError, KeyError, TypeError, ValueError):
            raise another_run() from None

    # -- use -----------------------------------------------------------------------------------------------------------------

    def window(self, begin: float, end: float, before: Window | None) -> Trained:
        """Return the stretch between two doses as a window, checked by the true equations."""
        clock = Clock(begin, 0.0, end - begin)
        slab = self.slab

        def start(s: int, i: int, x: np.ndarray) -> np.ndarray:
            if before is None:
                return np.zeros((1 + len(slab.sheets[i].pools), x.size))
            return before.evaluate(s, i, x, np.full_like(x, before.clock.b_s))

        def draw(slab: Slab, i: int, s: int, clock: Clock, size: Size, entered: int | None, rng: np.random.Generator) -> Columns:
            sheet, n_s = slab.sheets[i], slab.species
            depth = Depth(sheet.thickness, None)
            fields = [_Field(self, i, s, clock, depth, flux=flux) for flux in (False, True)]
            pools = tuple(
                _Field(self, i, n_s * (1 + self.pools.index((i, k))) + s, clock, depth, flux=False)
                for k in range(len(sheet.pools))
            )
            across = float(sheet.spread * sheet.diffusivity[s])
            return Columns(clock, depth, fields[0], fields[1], pools, Kernels(range(0), 1.0, 0.0, 1.0), across)

        def blood_at(t: np.ndarray) -> np.ndarray:
            return self.task.blood(np.minimum(begin + t, end), True)

        level = np.full((slab.species, len(slab.sheets)), self.top)
        window = Window(slab, clock, Size(), level, (self.task.seed,), blood_at, start, draw)
        window.coefficients = [[np.ones(r.columns.size) for r in rows] for rows in window.rows]
        window.hidden = self.weights
        return Trained(window, certificate(window))


class _Field:
    """Show one output of the network, or the flux that follows from it, as the single feature of a layer."""

    count = 1

    def __init__(self, sketch: _Sketch, layer: int, output: int, clock: Clock, depth: Depth, *, flux: bool) -> None:
        self.sketch, self.layer, self.output, self.clock, self.depth, self.flux = sketch, layer, output, clock, depth, flux

    def _jets(self, xi: np.ndarray, tau: np.ndarray, *, all_: bool) -> list[np.ndarray]:
        import torch

        sketch = self.sketch
        x = self.depth.at((xi + 1) / 2)
        t = self.clock.at((tau + 1) / 2)
        length, end = sketch.edge[-1], sketch.end
        at = torch.tensor(
            np.stack([(sketch.edge[self.layer] + x) / length, (self.clock.start_s + t) / end], 1), requires_grad=True
        )
        value = sketch.top * sketch.net(at)[:, self.output]
        if self.flux:
            sheet = sketch.slab.sheets[self.layer]
            value = -sheet.spread * float(sheet.diffusivity[self.output]) / length * sketch._slopes(value, at)[:, 0]
        out = [value.detach().numpy()]
        if all_:
            slope = sketch._slopes(value, at).detach().numpy()
            by_xi, by_tau = self.depth.xi(x)[1], self.clock.tau(t)[1]
            out += [slope[:, 0] / length / by_xi, slope[:, 1] / end / by_tau]
        return out

    def __call__(self, xi: np.ndarray, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        value, by_xi, by_tau = self._jets(xi, tau, all_=True)
        return value[:, None], by_xi[:, None], by_tau[:, None]

    def value(self, xi: np.ndarray, tau: np.ndarray) -> np.ndarray:
        return self._jets(xi, tau, all_=False)[0][:, None]
