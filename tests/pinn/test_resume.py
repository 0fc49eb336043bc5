"""A training that is killed goes on from its last stored state and ends with the same answer, to the last bit."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from bench.pinn_block import patchy
from bench.pinn_cases import SLABS, case, decaying, slab

from krogh import pinn
from krogh.cli.main import _run
from krogh.errors import InputError
from krogh.io.tensor_file import TensorFolder, read_tensors, write_tensors
from krogh.pinn.block import solve as block
from krogh.pinn.march import Cover
from krogh.pinn.methods import classic
from krogh.transport.cylinder import Capillary
from krogh.transport.problem import Problem

_TIMES = np.linspace(0.5, 5.0, 10)
_RUN = ["simulate", "caffeine", "--solver", "pinn", "--duration", "20 s", "--cells", "40", "--no-pictures", "--quiet"]


class Killed(BaseException):
    """Stand for kill -9 in the same process."""


class Dying(TensorFolder):
    """Keep `left` states and then kill the run."""

    left = 2

    def save(self, name, record, tensors):
        super().save(name, record, tensors)
        self.left -= 1
        if not self.left:
            raise Killed


@pytest.mark.parametrize("method", ["lsq", "trained"])
def test_windows_that_were_stored_are_taken_up_and_the_answer_is_the_same(tmp_path, method, monkeypatch):
    problem, settings = case("A", t_end_s=5.0, cells=30), {"method": method, "tol": 1e-2, "strict": False}
    whole = pinn.solve(problem, **settings)
    assert len(whole.windows) >= 2
    dying = Dying(tmp_path, "case")
    dying.left = 1
    with pytest.raises(Killed):
        pinn.solve(problem, keep=dying, **settings)
    resumed = pinn.solve(problem, keep=TensorFolder(tmp_path, "case"), **settings)
    assert np.array_equal(resumed.sample(_TIMES), whole.sample(_TIMES))
    assert resumed.certificate == whole.certificate
    assert resumed.unknowns == whole.unknowns
    # all is there now: nothing but the pilot is trained again
    real = Cover._train

    def train(self, *args):
        assert self.plan.keep is None
        return real(self, *args)

    monkeypatch.setattr(Cover, "_train", train)
    again = pinn.solve(problem, keep=TensorFolder(tmp_path, "case"), **settings)
    assert np.array_equal(again.sample(_TIMES), whole.sample(_TIMES))


def test_the_baseline_goes_on_within_its_training(tmp_path, monkeypatch):
    for name, value in (("_ADAM", 20), ("_ADAM_ROUND", 5), ("_LBFGS", 10), ("_LBFGS_ROUND", 5)):
        monkeypatch.setattr(classic, name, value)
    problem = case("A", cells=30)
    whole = pinn.solve(problem, method="classic", strict=False).sample(_TIMES)
    for left in (3, 2):  # once within Adam, once within L-BFGS
        dying = Dying(tmp_path, "case")
        dying.left = left
        with pytest.raises(Killed):
            pinn.solve(problem, method="classic", strict=False, keep=dying)
    resumed = pinn.solve(problem, method="classic", strict=False, keep=TensorFolder(tmp_path, "case"))
    assert np.array_equal(resumed.sample(_TIMES), whole)


def test_the_windows_of_a_cylinder_are_taken_up_too(tmp_path):
    vessel = Capillary(4e-6, 400e-6, 1e-3)
    problem = Problem(slab(*SLABS["A"]), decaying(), 2.0, capillary=vessel, cells=24, cells_along=8)
    whole = pinn.solve(problem, tol=1e-2, strict=False)
    dying = Dying(tmp_path, "case")
    dying.left = 1
    with pytest.raises(Killed):
        pinn.solve(problem, tol=1e-2, strict=False, keep=dying)
    resumed = pinn.solve(problem, tol=1e-2, strict=False, keep=TensorFolder(tmp_path, "case"))
    assert np.array_equal(resumed.sample(np.array([0.5, 1.9])), whole.sample(np.array([0.5, 1.9])))


def test_the_windows_of_a_block_are_taken_up_with_their_cosines(tmp_path, monkeypatch):
    monkeypatch.setattr(block, "_FEWEST", 2)
    problem = replace(patchy(4, factor=20.0), cells=24, t_end_s=20.0)
    settings = {"tol": 1e-2, "strict": False}
    whole = pinn.solve(problem, **settings)
    assert len(whole.windows) >= 2
    assert whole.windows[0].window.lateral.count > 2 * 2  # more were added on the way: a state must say how many
    dying = Dying(tmp_path, "case")
    dying.left = 1
    with pytest.raises(Killed):
        pinn.solve(problem, keep=dying, **settings)
    resumed = pinn.solve(problem, keep=TensorFolder(tmp_path, "case"), **settings)
    t = np.array([0.5, 4.0, 19.0])
    assert np.array_equal(resumed.whole(t), whole.whole(t))
    assert np.array_equal(resumed.march.ledger, whole.march.ledger)
    assert [w.certificate for w in resumed.windows] == [w.certificate for w in whole.windows]
    # another map is another run, however little it differs
    other = replace(patchy(4, factor=20.0 + 1e-12), cells=24, t_end_s=20.0)
    with pytest.raises(InputError, match="another run"):
        pinn.solve(other, keep=TensorFolder(tmp_path, "case"), **settings)


def test_a_state_of_another_run_or_a_damaged_one_is_one_line(tmp_path):
    kept = TensorFolder(tmp_path, "case")
    pinn.solve(case("A", t_end_s=5.0, cells=30), tol=1e-2, keep=kept)
    with pytest.raises(InputError, match="another run"):
        pinn.solve(case("A", t_end_s=4.0, cells=30), tol=1e-2, method="trained", keep=kept)
    path = tmp_path / "case-window-0000.safetensors"
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="damaged"):
        pinn.solve(case("A", t_end_s=5.0, cells=30), tol=1e-2, keep=kept)


def test_what_is_stored_is_read_back(tmp_path):
    path = tmp_path / "x.safetensors"
    assert read_tensors(path) is None
    write_tensors(path, {"a": 1, "b": [2.5, "c"]}, {"w": np.arange(6.0).reshape(2, 3)})
    record, tensors = read_tensors(path)
    assert record == {"a": 1, "b": [2.5, "c"]}
    assert np.array_equal(tensors["w"], np.arange(6.0).reshape(2, 3))


_BLOCK = [
    *_RUN[:-2], "--geometry", "block", "--set", "block.cells=30", "--set", "block.cells_y=3", "--set", "block.cells_z=3",
    "--no-pictures", "--quiet",
]  # fmt: skip


@pytest.mark.parametrize("run", [_RUN, _BLOCK], ids=["slab", "block"])
def test_simulate_goes_on_after_kill_9_and_gives_the_same_answer(tmp_path, capsys, run):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert _run([*run, "--out", str(whole)]) == 0
    started = subprocess.Popen(
        [sys.executable, "-c", "import sys; from krogh.cli.main import main; sys.exit(main())", *run, "--out", str(cut)],
        stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=os.environ,
    )  # fmt: skip
    stored = cut / "training" / "chunks"
    while started.poll() is None and not list(stored.glob("case-*.safetensors")):
        time.sleep(0.005)
    started.send_signal(signal.SIGKILL)
    started.wait()
    if not (cut / "run.json").exists():  # it may have been faster than the signal
        assert _run([*run, "--out", str(cut)]) != 0
        assert "--resume goes on with it" in capsys.readouterr().err
        assert _run([*run, "--out", str(cut), "--resume"]) == 0
    assert (cut / "timecourse.csv").read_bytes() == (whole / "timecourse.csv").read_bytes()
    assert not (cut / "training").exists()
    assert "config" in json.loads((cut / "run.json").read_text())


@pytest.mark.parametrize("more", [[], ["--solver", "pinn", "--geometry", "network"]])
def test_resume_where_nothing_is_stored_is_one_line(tmp_path, capsys, more):
    assert _run(["simulate", "caffeine", *more, "--out", str(tmp_path / "o"), "--resume", "--quiet"]) == 2
    assert capsys.readouterr().err.startswith("error: --resume")
    assert not (tmp_path / "o").exists()


def test_a_training_without_an_answer_leaves_nothing_behind_and_says_its_number(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(classic, "_ADAM", 5)
    monkeypatch.setattr(classic, "_LBFGS", 2)
    out = tmp_path / "o"
    assert _run([*_RUN, "--pinn-method", "classic", "--out", str(out)]) == 4
    assert "certificate" in capsys.readouterr().err
    assert not out.exists()
