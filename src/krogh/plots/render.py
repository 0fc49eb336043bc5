"""Draw one scene with pyvista; run as ``python -m krogh.plots.render SCENE.npz`` by :mod:`krogh.plots.volume`."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

__all__ = ["main"]

_NOTICE = "Research software: not for diagnosis or dosing."


def main(source: str) -> None:
    """Render the scene in a file and write its picture."""
    import pyvista

    pyvista.OFF_SCREEN = True
    with np.load(source) as held:
        words: dict[str, Any] = json.loads(str(held["words"]))
        arrays = {name: held[name] for name in held.files if name != "words"}
    plotter = pyvista.Plotter(off_screen=True, window_size=[1400, 1000])
    plotter.set_background("white")  # type: ignore[arg-type]
    (_network if "points" in arrays else _block)(plotter, pyvista, words, arrays)
    plotter.add_text(words["title"], position="upper_left", font_size=13, color="black")
    plotter.add_text(words["caption"], position=(0.004, 0.03), viewport=True, font_size=8, color="black")
    plotter.add_text(_NOTICE, position="lower_left", font_size=8, color="grey")
    plotter.screenshot(words["out"])
    plotter.close()


def _bar(words: dict[str, Any]) -> dict[str, Any]:
    return {"title": words["bar"], "color": "black", "vertical": True, "position_x": 0.89, "position_y": 0.25, "height": 0.5,
            "fmt": "%.3g", "title_font_size": 18, "label_font_size": 16}  # fmt: skip


def _block(plotter: Any, pyvista: Any, words: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    grid = pyvista.RectilinearGrid(arrays["x"], arrays["y"], arrays["z"])
    low, high = words["limits"]
    grid.cell_data["free"] = np.maximum(arrays["field"], low if words["log"] else 0.0).ravel(order="F")
    middle = [0.5 * (arrays[a][0] + arrays[a][-1]) for a in "yz"]
    bounds = (arrays["x"][0] - 1, arrays["x"][-1] + 1, arrays["y"][0] - 1, middle[0], middle[1], arrays["z"][-1] + 1)
    cut = grid.clip_box(bounds, invert=True)
    plotter.add_mesh(cut, scalars="free", cmap="viridis", clim=(low, high), log_scale=words["log"], scalar_bar_args=_bar(words),
                     lighting=False)  # fmt: skip
    plotter.add_mesh(cut.extract_feature_edges(30), color="black", line_width=1.5)
    points = grid.cell_data_to_point_data()
    if words["levels"]:
        surface = points.contour(words["levels"], scalars="free")
        if surface.n_points:
            plotter.add_mesh(surface, color="white", opacity=0.5, show_scalar_bar=False)
    for x in words["faces"]:
        face = cut.slice("x", origin=(x, 0.0, 0.0)).clean().extract_feature_edges(feature_edges=False)
        plotter.add_mesh(face, color="white", line_width=2.0)
    plotter.add_mesh(grid.outline(), color="black", line_width=1.5)
    _maps(plotter, pyvista, arrays)
    z = arrays["z"][0]
    places = np.array([[x, arrays["y"][0] - 0.1 * arrays["y"][-1], z] for _, x in words["layers"]])
    style: dict[str, Any] = {"font_size": 13, "text_color": "black", "shape": "rect", "shape_color": "white",
                             "shape_opacity": 0.8, "show_points": False, "always_visible": True}  # fmt: skip
    plotter.add_point_labels(places, [n for n, _ in words["layers"]], **style)
    plotter.add_axes(xlabel="depth", ylabel="y", zlabel="z", color="black")
    plotter.camera_position = [(-1.35, -1.75, 1.5), (0.46, 0.46, 0.42), (0, 0, 1)]
    plotter.reset_camera()
    plotter.camera.zoom(0.85)


def _maps(plotter: Any, pyvista: Any, arrays: dict[str, np.ndarray]) -> None:
    """Outline what a map marks, in front of the blood."""
    for name, density in arrays.items():
        if not name.startswith("density_"):
            continue
        x = arrays["x"][0] - 0.04 * arrays["x"][-1]
        plane = pyvista.RectilinearGrid(np.array([x]), arrays["y"], arrays["z"])
        plane.cell_data["marked"] = _marked(density).ravel(order="F")
        if np.ptp(plane.cell_data["marked"]) > 0:
            edge = plane.cell_data_to_point_data().contour([0.5], scalars="marked")
            if edge.n_points:
                plotter.add_mesh(edge, color="#D55E00", line_width=4, show_scalar_bar=False)


def _marked(density: np.ndarray) -> np.ndarray:
    """Return 1 where a map differs by half from what it is in most places; if nowhere, where it is above the middle."""
    usual = float(np.median(density))
    found = np.abs(density - usual) > 0.5 * usual
    if not found.any():
        found = density > 0.5 * (float(density.min()) + float(density.max()))
    return found.astype(float)


def _network(plotter: Any, pyvista: Any, words: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    low, high = words["limits"]
    lines = np.hstack([np.full((len(arrays["segments"]), 1), 2), arrays["segments"]]).ravel()
    vessels = pyvista.PolyData(arrays["points"], lines=lines)
    vessels.cell_data["blood"] = np.maximum(arrays["blood"], low if words["log"] else 0.0)
    vessels.cell_data["radius"] = arrays["radius"]
    tubes = vessels.cell_data_to_point_data().tube(scalars="radius", absolute=True, n_sides=10)
    plotter.add_mesh(tubes, scalars="blood", cmap="plasma", clim=(low, high), log_scale=words["log"], scalar_bar_args=_bar(words))
    n = np.array(arrays["field"].shape)
    grid = pyvista.ImageData(dimensions=n + 1, spacing=(words["spacing"],) * 3)
    grid.cell_data["tissue"] = arrays["field"].ravel(order="F")
    if words["levels"]:
        surface = grid.cell_data_to_point_data().contour(words["levels"], scalars="tissue")
        plotter.add_mesh(surface, color="lightblue", opacity=0.2, show_scalar_bar=False)
    plotter.add_mesh(grid.outline(), color="black")
    plotter.add_axes(color="black")
    plotter.camera_position = "iso"
    plotter.camera.zoom(0.9)


if __name__ == "__main__":
    main(sys.argv[1])
