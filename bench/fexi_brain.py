"""A brain of 200,000 voxels, from the NIfTI file to the maps on disk: wall time and peak memory of the command itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

GOAL_S, GOAL_MB = 10.0, 1000.0
LEARNED_GOAL_S = 300.0


def _write_scan(folder: Path, n_voxels: int) -> tuple[Path, Path]:
    """Write a head of `n_voxels` voxels inside a larger grid at SNR 50, int16 with scaling as a scanner would."""
    import nibabel as nib

    from krogh.fexi.models import get_model
    from krogh.fexi.noise import add_noise
    from krogh.fexi.presets import preset

    protocol, rng = preset("human-bbb"), np.random.default_rng(0)
    grid = (96, 96, 60)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in grid), indexing="ij")
    radius = np.sqrt(sum(a**2 for a in axes))
    mask = np.zeros(grid, np.uint8)
    mask.ravel()[np.argsort(radius, axis=None)[:n_voxels]] = 1
    theta = np.stack(
        [rng.uniform(0.7e-9, 1.5e-9, n_voxels), rng.uniform(0.05, 0.4, n_voxels), rng.uniform(0.5, 8, n_voxels)], axis=1
    )
    clean = get_model("axr").predict(theta, np.tile([1.0, 0.78, 0.66, 0.54], (n_voxels, 1)), protocol)
    scan = np.zeros((*grid, 8), np.int16)
    scan[mask > 0] = np.rint(20000 * add_noise(clean, 0.02, rng))
    affine = np.diag([2.5, 2.5, 2.5, 1.0])
    image = nib.Nifti1Image(scan, affine)
    nib.save(image, folder / "dwi.nii.gz")
    nib.save(nib.Nifti1Image(mask, affine), folder / "mask.nii.gz")
    return folder / "dwi.nii.gz", folder / "mask.nii.gz"


def measure(
    n_voxels: int = 200_000, *, threads: int = 2, figures: bool = True, estimator: str = "nlls"
) -> tuple[float, float, float]:
    """Return wall time [s], processor time [s] and peak memory [MB] of ``krogh fexi fit`` on a brain of `n_voxels`."""
    code = (
        "import sys, resource; from krogh.cli.main import _run; code = _run(sys.argv[1:]); "
        "used = resource.getrusage(resource.RUSAGE_SELF); "
        "sys.stderr.write('%d %f' % (used.ru_maxrss, used.ru_utime + used.ru_stime)); sys.exit(code)"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dwi, mask = _write_scan(folder, n_voxels)
        arguments = [
            "fexi",
            "fit",
            dwi,
            "-p",
            "human-bbb",
            "--estimator",
            estimator,
            "--mask",
            mask,
            "--out",
            folder / "out",
            "--threads",
            threads,
            "-q",
            "--json",
        ]
        arguments += [] if figures else ["--no-figures"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=True, env=environment
        )
        wall = time.perf_counter() - start
        voxels = sum(json.loads(done.stdout)["counts"].values())
        if voxels != n_voxels:
            raise RuntimeError(f"{voxels} voxels fitted, {n_voxels} expected")
    memory_kb, processor = map(float, done.stderr.split())
    return wall, processor, memory_kb / 1024


def run() -> None:
    """Print wall time and peak memory beside the goals; the first call compiles what is not cached yet and is not counted."""
    measure(1000)
    for figures in (True, False):
        wall, processor, memory = measure(figures=figures)
        what = "maps, regions and pictures" if figures else "maps and regions"
        print(
            f"FEXI brain, 200,000 voxels, NIfTI to {what}, 2 threads: {wall:.1f} s (goal < {GOAL_S:g} s; "
            f"{processor:.1f} s of processor time), "
            f"peak memory {memory:.0f} MB (goal < {GOAL_MB:g} MB)"
        )
    for estimator in ("eb", "hbayes"):
        _, processor, memory = measure(figures=False, estimator=estimator)
        print(
            f"FEXI brain, 200,000 voxels, {estimator}: NIfTI to maps and regions, learning included, in {processor:.0f} s of "
            f"processor time (goal < {LEARNED_GOAL_S:g} s on 2 cores), peak memory {memory:.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    run()
