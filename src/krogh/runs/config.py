"""Collect the settings of a simulation from defaults, a TOML file, ``--set`` and options; check them once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from krogh.errors import InputError, UsageError, nearest

__all__ = ["BlockConfig", "InferConfig", "NetworkConfig", "PatternConfig", "SimulateConfig", "TissueConfig", "build_config"]


class PatternConfig(BaseModel):
    """Say how one route varies along the barrier; densities are over the uniform barrier (1: as there, 0: none)."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    route: str = Field(description="name of the route: passive, paracellular, P-gp, LAT1 ...")
    shape: Literal["patch", "pores", "image", "map", "values", "function"] = "patch"
    factor: float = Field(0.0, ge=0, le=1e9, description="density inside patch or pores")
    center: tuple[str, str] | None = Field(None, description="(y, z) of a patch; None: the middle")
    radius: str = Field("5 um", description="radius of a patch or of every pore")
    count: int = Field(8, ge=1, le=100000, description="number of pores")
    seed: int = Field(0, ge=0, description="where the pores are")
    file: str | None = Field(None, description="image (PNG), or map (CSV or NPY) of densities, rows along y")
    low: float = Field(0.0, ge=0, description="density of black")
    high: float = Field(1.0, ge=0, description="density of white")
    values: Any = Field(None, description="rows of densities along y; a number may cover a rectangle of cells")
    function: Any = Field(None, description="density(y_m, z_m), from Python only")


class TissueConfig(BaseModel):
    """Say how one property of one medium varies from cell to cell; factors are over the uniform medium (1: as there)."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    quantity: Literal["diffusivity", "storage", "uptake", "exchange"] = Field(description="what varies")
    medium: str = Field("interstitium", description="layer, or cells inside the tissue: neuron, astrocyte")
    shape: Literal["uniform", "ball", "volume", "values", "function"] = "ball"
    factor: float = Field(1.0, ge=0, le=1e9, description="value everywhere (uniform), or inside a ball")
    rate: str = Field("0.01 1/s", description="uptake where the map is 1")
    center: tuple[str, str, str] | None = Field(None, description="(depth in the layer, y, z) of a ball; None: the middle")
    radius: str = Field("5 um", description="radius of a ball")
    file: str | None = Field(None, description="volume (NPY, NIfTI) over depth, y, z of the layer")
    values: Any = Field(None, description="the same as nested lists")
    function: Any = Field(None, description="f(depth_m, y_m, z_m), from Python only")
    compound: str | None = Field(None, description="only for this one; None: for all of a run")


class BlockConfig(BaseModel):
    """Hold the settings of ``geometry = "block"``: a piece of barrier with its tissue in three dimensions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: str = Field("40 um", description="length along y")
    height: str = Field("40 um", description="length along z")
    cells: int = Field(48, ge=16, le=2000, description="cells across the layers")
    cells_y: int = Field(32, ge=1, le=1024)
    cells_z: int = Field(32, ge=1, le=1024)
    lumen: Literal["perfused", "reservoir"] = Field("perfused", description="flowing blood in front of the wall, or a fixed one")
    frames: int = Field(16, ge=1, le=400, description="times at which whole fields are kept")
    patterns: tuple[PatternConfig, ...] = Field((), description="how routes vary along the barrier")
    tissue: tuple[TissueConfig, ...] = Field((), description="how the tissue varies from cell to cell")


class NetworkConfig(BaseModel):
    """Hold the settings of ``geometry = "network"``: capillaries from two tables or one file in a box of tissue."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    nodes: str | None = Field(None, description="CSV: node,x_m,y_m,z_m,pressure_Pa")
    segments: str | None = Field(None, description="CSV: segment,node_a,node_b,radius_m")
    file: str | None = Field(None, description="SWC or VTK (.vtp, .vtk, .vtu) in place of the two tables")
    unit: str | None = Field(None, description="length unit of the file's coordinates; SWC: um")
    pressures: str | None = Field(None, description="CSV: node,pressure_Pa of open ends, where the file holds none")
    cells: int = Field(32, ge=2, le=512, description="tissue cells along the longest side")
    longest: str = Field("10 um", description="longest segment; longer ones are cut")
    margin: str = Field("0 um", description="tissue beyond the outermost nodes")
    frames: int = Field(12, ge=1, le=400, description="times at which whole fields are kept")


class SimulateConfig(BaseModel):
    """Hold every setting of ``krogh simulate``; the same keys serve the TOML file, ``--set`` and the Python function."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    compounds: tuple[str, ...] = Field(min_length=1, description="names of the compounds")
    species: Literal["human", "rat", "mouse"] = "human"
    dose: str | dict[str, str] | None = Field(None, description="dose in words, for all or by compound; None: a typical one")
    duration: str = "24 h"
    geometry: Literal["slab", "cylinder", "block", "network"] = "slab"
    network: NetworkConfig = Field(default_factory=lambda: NetworkConfig.model_validate({}))
    block: BlockConfig = Field(default_factory=lambda: BlockConfig.model_validate({}))
    together: bool = Field(False, description="solve all compounds as one problem, so that they compete for carriers")
    solver: Literal["fv", "pinn"] = "fv"
    pinn_method: Literal["lsq", "trained", "classic"] = Field("lsq", description="how the networks are trained (pinn)")
    tol: float | None = Field(None, ge=1e-9, le=0.1, description="certificate that the networks must reach (pinn)")
    method: str = "esdirk43"
    step: str | None = None
    rtol: float = Field(1e-4, ge=1e-10, le=0.1)
    cells: int = Field(120, ge=16, le=20000)
    cells_along: int = Field(24, ge=1, le=4096)
    permeability_method: str | None = None
    leak_factor: float = 1.0
    pericyte_coverage: float = 1.0
    efflux: dict[str, float] = Field(default_factory=dict, description="share of a pump that works, by name or for 'all'")
    amino_acids: float = 1.0
    volumetric_efflux: bool = False
    physiology: dict[str, str | float] = Field(default_factory=dict)
    compound: dict[str, dict[str, Any]] = Field(default_factory=dict, description="values by compound, as in a compound file")
    seed: int = 0


class InferConfig(SimulateConfig):
    """Hold the settings behind ``krogh infer``: those of a simulation, and one more solver."""

    solver: Literal["fv", "pinn", "compartments"] = "fv"  # type: ignore[assignment]


def _assign(table: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for key in path[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise UsageError("--set " + ".".join(path), got="a value above it", expected="one value or a table")
    table[path[-1]] = value


def _number(text: str) -> Any:
    low = text.strip().lower()
    if low in ("true", "false"):
        return low == "true"
    try:
        return int(text) if low.lstrip("+-").isdigit() else float(text)
    except ValueError:
        return text


def _apply_set(table: dict[str, Any], settings: Sequence[str], compounds: Sequence[str]) -> None:
    fields = SimulateConfig.model_fields
    lower = {c.lower(): c for c in compounds}
    for text in settings:
        left, equals, raw = text.partition("=")
        head, dot, rest = left.strip().partition(".")
        if not equals or not head:
            raise UsageError(
                f"--set {text}",
                expected="KEY=VALUE, e.g. rtol=1e-5, physiology.capillary_radius='2.5 um' or caffeine.fu_brain=0.9",
            )
        if head.lower() in lower and dot:
            _assign(table, ["compound", lower[head.lower()], rest], raw)
        elif head == "compound" and dot:
            # short form for a run of one compound: compound.fu_brain=0.3
            name, _, key = rest.partition(".")
            owner = lower.get(name.lower()) if key else None
            if owner is None and len(compounds) != 1:
                raise UsageError(
                    f"--set {text}", got=f"{len(compounds)} compounds", expected="NAME.key=VALUE with the name of one of them"
                )
            _assign(table, ["compound", owner or compounds[0], key if owner else rest], raw)
        elif head in fields:
            _assign(
                table,
                [head, *([rest] if dot else [])],
                raw if head in ("dose", "duration", "step", "physiology") else _number(raw),
            )
        else:
            raise UsageError(f"--set {text}", got=f"unknown key '{head}'", hint=nearest(head, [*fields, *compounds]))


def build_config(
    base: Mapping[str, Any],
    settings: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    *,
    kind: type[SimulateConfig] = SimulateConfig,
) -> SimulateConfig:
    """Return the checked settings: `base` (a TOML file), then ``--set``, then `options` that are not None.

    `kind` is what they are settings of.

    Raises
    ------
    InputError
        If a value is out of range or of the wrong type; one line, first problem.
    UsageError
        If ``--set`` is not understood.
    """
    table: dict[str, Any] = {k: (dict(v) if isinstance(v, Mapping) else v) for k, v in base.items()}
    given = {k: v for k, v in (options or {}).items() if v is not None}
    compounds = given.get("compounds") or table.get("compounds") or []
    table["compounds"] = [compounds] if isinstance(compounds, str) else compounds
    names = [c for c in table["compounds"] if isinstance(c, str)] if isinstance(table["compounds"], (list, tuple)) else []
    _apply_set(table, settings, names)
    table.update(given)
    try:
        return kind(**table)
    except ValidationError as error:
        raise _first(error) from None


def _first(error: ValidationError) -> InputError:
    problem = error.errors()[0]
    where = ".".join(str(p) for p in problem["loc"]) or "settings"
    got = problem.get("input")
    if problem["type"] == "extra_forbidden":
        return InputError(f"setting '{where}'", got="an unknown key", hint=nearest(where, SimulateConfig.model_fields))
    if where == "compounds":
        return InputError("compounds", got="none", expected="at least one name", hint="see 'krogh compounds list'")
    return InputError(
        f"setting '{where}'", got=repr(got) if not isinstance(got, dict) else "a table", expected=problem["msg"].lower()
    )
