"""``krogh fexi fit`` with a prior, and ``krogh fexi calibrate``: files, choices that matter, refusals."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import krogh.fexi
from krogh.errors import InputError, UsageError
from krogh.fexi import preset
from krogh.fexi.models.axr import AxrModel
from krogh.fexi.noise import add_noise
from krogh.io.fexi_prior import read_priors
from krogh.io.nifti import read_image

from ._files import nifti, run_here


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("learned") / "sim"
    run_here("simulate", "--phantom", "shapes", "--voxel", "8 mm", "--snr", 40, "--seed", 2, "--no-relaxation", "--out", out)
    return out / "sub-01" / "dwi"


@pytest.fixture
def short_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `hbayes` train its network for 6 rounds where nothing else is said: the weights of the samples make up for it."""
    from krogh.fexi.learned import train_hbayes

    monkeypatch.setattr(train_hbayes, "HbayesSettings", partial(train_hbayes.HbayesSettings, rounds=6))


def fit(scan: Path, out: Path, *more: object) -> Path:
    run_here(
        "fit", f"{scan}/sub-01_dwi.nii.gz", "--protocol", "human-bbb", "--mask", f"{scan}/sub-01_desc-brain_mask.nii.gz",
        "--out", out, "--no-figures", "--quiet", *more,
    )  # fmt: skip
    return out


def axr(out: Path, name: str = "axr") -> np.ndarray:
    return read_image(next(out.rglob(f"*param-{name}_dwimap.nii.gz"))).data


@pytest.mark.slow
@pytest.mark.usefixtures("short_training")
@pytest.mark.parametrize("estimator", ["eb", "hbayes"])
def test_fit_writes_posteriors_and_its_prior_and_takes_it_back(
    scan: Path, tmp_path: Path, estimator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fit(scan, tmp_path / "a", "--estimator", estimator)
    inside = np.isfinite(axr(first))
    assert inside.sum() > 50
    low, middle, high = (axr(first, f"axr{name}")[inside] for name in ("Low", "Median", "High"))
    assert np.all((low < middle) & (middle < high))
    priors = read_priors(first / "prior.json", AxrModel())
    assert set(priors) == {0}
    monkeypatch.setattr("krogh.fexi.learned.scan_prior.learn_prior", lambda *_, **__: pytest.fail("learned again"))
    again = fit(scan, tmp_path / "b", "--estimator", estimator, "--prior", first / "prior.json")
    same = np.abs(axr(again) - axr(first))[inside] / axr(first, "axrSd")[inside]
    assert np.median(same) < 0.1  # the same posterior, sampled again
    wide = fit(scan, tmp_path / "c", "--estimator", estimator, "--prior", "uniform")
    assert axr(wide)[inside].mean() > axr(first)[inside].mean() + 1
    record = json.loads((again / "run.json").read_text())
    assert record["config"]["prior"].endswith("prior.json")


@pytest.mark.slow
@pytest.mark.usefixtures("short_training")
def test_labels_give_a_prior_each_and_the_seed_moves_the_network(scan: Path, tmp_path: Path) -> None:
    labels = f"{scan}/sub-01_desc-tissue_dseg.nii.gz"
    out = fit(scan, tmp_path / "a", "--estimator", "eb", "--labels", labels)
    assert len(read_priors(out / "prior.json", AxrModel())) > 1
    one, two = (fit(scan, tmp_path / f"s{i}", "--estimator", "hbayes", "--seed", i) for i in (0, 1))
    inside = np.isfinite(axr(one))
    spread = np.abs(axr(one) - axr(two))[inside] / axr(one, "axrSd")[inside]
    assert spread.max() > 0
    assert np.sqrt(np.mean(spread**2)) < 0.15  # two draws: sqrt(2) x 10 % of the posterior SD
    with pytest.raises(UsageError, match="also --labels"):
        fit(scan, tmp_path / "b", "--estimator", "eb", "--prior", out / "prior.json")


def test_smooth_writes_what_the_call_gives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng, size = np.random.default_rng(0), (7, 6, 5)
    field = gaussian_filter(rng.standard_normal((9, 9, 9)), 2.0, mode="wrap")[:7, :6, :5]
    theta = np.stack(np.broadcast_arrays(0.9e-9 * np.exp(0.1 * field / field.std()), 0.2, np.full(size, 2.5)), axis=-1)
    clean = AxrModel().shape(theta.reshape(-1, 3), preset("human-bbb")).reshape(*size, 8)
    dwi = nifti(tmp_path / "sub-01_dwi.nii.gz", add_noise(clean, 0.02, rng).astype(np.float32))
    inside = np.ones(size, bool)
    inside[2:4, 3, 1:] = False
    mask = nifti(tmp_path / "mask.nii.gz", inside.astype(np.uint8))
    run_here("fit", dwi, "-p", "human-bbb", "--estimator", "eb", "--noise-sd", 0.02, "--mask", mask, "--out", tmp_path / "out",
             "--no-figures", "--quiet", "--smooth", "12 mm")  # fmt: skip
    assert "smoothed over 12 mm: neighbours" in capsys.readouterr().out
    assert json.loads((tmp_path / "out/run.json").read_text())["config"]["smooth_m"] == pytest.approx(0.012)
    assert (tmp_path / "out/prior.json").is_file()
    image = read_image(dwi)
    found = krogh.fexi.fit(image.data, preset("human-bbb"), inside, estimator="eb", noise_sd=0.02, smooth=12e-3,
                           voxel_size=[1e-3 * edge for edge in image.voxel_size_mm])  # fmt: skip
    assert found.extra["sharing"][0].rho[0, 0] > 0.5
    off = (axr(tmp_path / "out", "adc") - 1e9 * found.map("adc_m2_s"))[inside] / axr(tmp_path / "out", "adcSd")[inside]
    assert np.sqrt(np.mean(off**2)) < 0.05  # the call takes the voxels in another order, in which the search ends elsewhere


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--prior", "uniform"], "eb or hbayes"), (["--seed", "1", "--estimator", "eb"], "hbayes"),
        (["--labels", "x.nii"], "eb or hbayes"), (["--prior", "nothing.json", "--estimator", "eb"], "prior.json of a fit"),
        (["--smooth", "9 mm"], "eb or hbayes"), (["--smooth", "9 mm", "--estimator", "npe"], "eb or hbayes"),
        (["--smooth", "9 mm", "--estimator", "eb", "--prior", "uniform"], "also --prior"),
        (["--smooth", "0 mm", "--estimator", "eb"], "a length > 0"), (["--smooth", "6", "--estimator", "eb"], "up to 100 mm"),
        (["--smooth", "6 mm", "--estimator", "eb"], "at least 10.7 mm"),
    ],
)  # fmt: skip
def test_settings_that_would_do_nothing_are_refused(scan: Path, tmp_path: Path, options: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        fit(scan, tmp_path / "a", *options)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"Parameters": [], "Priors": {"0": {}}}', '{"Priors": 3, "Parameters": 1}'])
def test_a_file_that_is_no_prior_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(InputError, match="prior"):
        read_priors(tmp_path / "p.json", AxrModel())


def test_calibrate_prints_writes_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--scans", 6, "--voxels", 100, "--regions", 2, "--quiet", "--estimator", "nlls"]
    run_here("calibrate", "human-bbb", "--snr", 40, *small, "--out", tmp_path / "c")
    printed = capsys.readouterr().out
    assert "p (ranks uniform)" in printed
    assert "regions" in printed
    assert "not for diagnosis" in printed
    content = json.loads((tmp_path / "c/calibration.json").read_text())
    assert np.shape(content["ranks"]["voxels"]) == (6, 100, 3)
    assert (tmp_path / "c/figures/calibration.png").exists()
    assert json.loads((tmp_path / "c/run.json").read_text())["config"]["snr"] == 40
    run_here("calibrate", *small, "--tissues", "uniform", "--uniform", "adc=0.7:1", "--uniform", "sigma=0.1:0.3",
             "--uniform", "axr=1:5", "--json", "--seed", 4)  # fmt: skip
    first = json.loads(capsys.readouterr().out)
    assert {row["of"] for row in first["calibration"]} == {"voxels", "regions"}
    for options, words in (
        (["--tissues", "uniform"], "with --uniform"), (["--tissues", "nowhere"], "two-tissues"),
        (["--estimator", "pooled"], "one of nlls"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=words):
            run_here("calibrate", *small[:-2], *options)
