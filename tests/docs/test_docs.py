"""What the pages show runs as printed; links lead somewhere; the references name every setting, variable, code and assumption."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from krogh import errors
from krogh.cli.main import _run
from krogh.runs.config import SimulateConfig

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
RUNNABLE = {"readme": ROOT / "README.md", "start": DOCS / "start.md", "simulate": DOCS / "how-to" / "simulate.md"}
RUNNABLE["devices"] = DOCS / "how-to" / "devices.md"
RUNNABLE |= {"block": DOCS / "how-to" / "block.md", "network": DOCS / "how-to" / "network.md"}
RUNNABLE["pinn"] = DOCS / "how-to" / "pinn.md"
RUNNABLE["infer"] = DOCS / "how-to" / "infer.md"
RUNNABLE["gradient"] = DOCS / "how-to" / "gradient.md"
RUNNABLE["report"] = DOCS / "how-to" / "report.md"
RUNNABLE["predict"] = DOCS / "how-to" / "predict.md"
RUNNABLE |= {name: DOCS / "how-to" / f"{name}.md" for name in ("validate", "screen", "sensitivity")}
RUNNABLE |= {name: DOCS / f"{name}.md" for name in ("guide-pharmacology", "guide-mri", "gallery")}
PAGES = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]
PAGES = [p for p in PAGES if "_build" not in p.parts]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
_FILES = {
    "time [h],": "curve.csv",
    "z [nm],": "profile.csv",
    "name,smiles,": "molecules.csv",
    "matrix,time [min],value [nM],": "morphine.csv",
    "region,volume,signal": "region.csv",
    "# run.toml": "run.toml",
    "# hole.toml": "hole.toml",
    "# device.toml": "device.toml",
    "# leak.toml": "leak.toml",
    "# core.toml": "core.toml",
    "node,pressure_Pa": "pressures.csv",
    "node,": "nodes.csv",
    "1 2 0 20": "vessels.swc",
    "segment,": "segments.csv",
}  # first words of a block -> the file that the page says it is


def _flat(text: str) -> str:
    return " ".join(text.split())


def _shell(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Run the ``krogh`` lines of a block; every other line after one must be in what it printed."""
    printed: str | None = None
    for line in block.splitlines():
        command = line.removeprefix("$ ")
        if command.startswith("krogh "):
            code = _run(shlex.split(command)[1:])
            out, err = capsys.readouterr()
            assert code == 0, f"{command}\n{err}"
            printed = _flat(out)
        elif printed is not None:
            assert _flat(line) in printed, f"{line!r} is not in what the command prints:\n{printed}"


@pytest.mark.parametrize("page", RUNNABLE)
def test_blocks_of_the_page_run_in_order(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    for language, block in _BLOCK.findall(RUNNABLE[page].read_text(encoding="utf-8")):
        file = next((name for start, name in _FILES.items() if block.startswith(start)), None)
        if file is not None:
            Path(file).write_text(block, encoding="utf-8")
        elif language in ("console", "bash"):
            _shell(block, capsys)
        elif language == "python":
            exec(compile(block, str(page), "exec"), {})
    assert page in ("validate", "gradient") or any(tmp_path.iterdir())  # nothing to write, or data that are not in the package


def _slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        if anchor and file.suffix == ".md":
            other = file.read_text(encoding="utf-8")
            headings = {_slug(h) for h in re.findall(r"^#+ (.+)$", other, flags=re.MULTILINE)}
            assert anchor in headings or f"({anchor})=" in other, target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_pages_hold_no_paths_of_a_machine(page: Path) -> None:
    assert not re.search(r"(?<![\w.])/(home|work|tmp|Users|root|mnt)/", page.read_text(encoding="utf-8"))


def test_pictures_are_small() -> None:
    for picture in (DOCS / "images").glob("*.png"):
        assert picture.stat().st_size < 150_000, picture.name


def test_every_setting_is_in_the_configuration_reference() -> None:
    text = (DOCS / "reference" / "configuration.md").read_text(encoding="utf-8")
    for name, field in SimulateConfig.model_fields.items():
        row = re.search(rf"^\| `{name}` \|.*$", text, flags=re.MULTILINE)
        assert row, name
        if isinstance(field.default, str | int) and not isinstance(field.default, bool):
            assert f"{field.default}" in row[0], name


@pytest.mark.parametrize("species", ["human", "rat", "mouse"])
def test_every_physiology_key_is_in_the_reference_and_every_assumption_is_listed(species: str) -> None:
    table = tomllib.loads((ROOT / "src" / "krogh" / "barrier" / "data" / f"{species}.toml").read_text(encoding="utf-8"))
    reference = (DOCS / "reference" / "configuration.md").read_text(encoding="utf-8")
    listed = (DOCS / "theory" / "assumptions.md").read_text(encoding="utf-8")
    for key, entry in table.items():
        assert f"`{key}`" in reference, key
        if entry["status"] == "A":
            assert f"`{key}`" in listed, key


def test_every_variable_of_a_run_is_in_the_results_reference() -> None:
    import krogh

    text = (DOCS / "reference" / "results.md").read_text(encoding="utf-8")
    for geometry in ("slab", "cylinder"):
        run = krogh.simulate("caffeine", dose="1 uM constant", duration="10 s", geometry=geometry, cells=16, cells_along=2)
        for name in {*run.dataset.variables, *run.dataset.dims}:
            assert f"`{name}`" in text, name


def test_every_exit_code_is_in_the_reference() -> None:
    text = (DOCS / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    for kind in errors.KroghError.__subclasses__():
        assert re.search(rf"^\| {kind.exit_code} \|.*`{kind.__name__}`", text, flags=re.MULTILINE), kind.__name__


def test_the_number_of_compounds_is_that_of_the_library() -> None:
    from krogh.compounds import names

    for page in ("README.md", "CHANGELOG.md"):
        assert f"{len(names())} compounds" in (ROOT / page).read_text(encoding="utf-8")


def test_every_test_file_that_the_credibility_page_names_exists() -> None:
    text = (DOCS / "credibility.md").read_text(encoding="utf-8")
    for name in re.findall(r"`(tests/[\w/.]+)`", text):
        assert (ROOT / name).is_file(), name
