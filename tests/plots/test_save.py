from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.image import imread
from PIL import Image

from krogh.errors import OutputError
from krogh.io.store import open_results, write_results
from krogh.plots.routes import draw_routes
from krogh.plots.save import file_stem, save_figures
from krogh.plots.style import NOTICE, Picture


@pytest.mark.parametrize("geometry", ["slab", "cylinder"])
def test_all_pictures_are_written_and_not_blank(geometry: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    data = request.getfixturevalue(geometry)
    paths = save_figures(data, tmp_path / "new" / "pictures")
    names = {p.name for p in paths}
    sections = {f"section_{file_stem(str(n))}.png" for n in data.compound.values}
    assert names == sections | {"timecourse.png", "routes.png", "levodopa_vs_dopamine.png"}
    for path in paths:
        pixels = imread(path)[..., :3]
        assert min(pixels.shape[:2]) > 400
        assert np.mean(pixels.min(axis=-1) < 0.9) > 0.01


def test_caption_travels_inside_the_file(slab: xr.Dataset, tmp_path: Path) -> None:
    path = save_figures(slab.isel(compound=[0]), tmp_path)[0]
    with Image.open(path) as picture:
        assert picture.info["Description"].endswith(NOTICE)


def test_a_stored_run_can_be_drawn_again(slab: xr.Dataset, tmp_path: Path) -> None:
    write_results(slab.isel(compound=[0, 1, 2]), tmp_path)
    names = [p.name for p in save_figures(open_results(tmp_path), tmp_path / "pictures")]
    assert names[-1] == "levodopa_vs_dopamine.png"


def test_no_comparison_without_both(slab: xr.Dataset, tmp_path: Path) -> None:
    names = [p.name for p in save_figures(slab.isel(compound=[0]), tmp_path)]
    assert names == ["timecourse.png", "section_levodopa.png", "routes.png"]


def test_names_are_safe_and_different(slab: xr.Dataset, tmp_path: Path) -> None:
    assert file_stem("dopamine (from levodopa)") == "dopamine_from_levodopa"
    assert file_stem("../../etc/passwd") == "etc_passwd"
    assert file_stem("Größe") == "Gr_e"
    assert file_stem("???") == "compound"
    one = slab.isel(compound=[0])
    twins = xr.concat(
        [one.assign_coords(compound=[n]) for n in ("a/b", "A?b")],
        dim="compound", data_vars="minimal", coords="minimal", compat="override", join="override",
    )  # fmt: skip
    paths = save_figures(twins, tmp_path)
    assert [p.name for p in paths] == ["timecourse.png", "section_a_b.png", "section_A_b_2.png", "routes.png"]


def test_number_of_sections_is_bounded(nine: xr.Dataset, tmp_path: Path) -> None:
    assert len(save_figures(nine, tmp_path, most_sections=1)) == 3


def test_folder_that_is_a_file_is_refused_in_one_line(slab: xr.Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(OutputError, match="pictures in"):
        save_figures(slab, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"


def test_users_settings_are_left_alone(slab: xr.Dataset, tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    save_figures(slab.isel(compound=[0]), tmp_path)
    assert dict(mpl.rcParams) == before


def test_notebook_and_vector_graphics(slab: xr.Dataset, tmp_path: Path) -> None:
    figure = draw_routes(slab)
    assert isinstance(figure, Picture)
    assert figure._repr_png_().startswith(b"\x89PNG")
    for name in ("routes.pdf", "routes.svg"):
        figure.savefig(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 5000


def test_pyplot_is_never_imported() -> None:
    code = (
        "import sys, krogh; from krogh.plots import comparison, save, timecourse;"
        "r = krogh.simulate('caffeine', cells=16, duration='1 min');"
        "[f._repr_png_() for f in (r.plot.timecourse(), r.plot.section(), r.plot.routes())];"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0
