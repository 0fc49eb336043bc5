"""``krogh simulate`` as a user meets it: a table, files, one-line errors, and nothing lost."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from krogh.cli.main import _run

FAST = ["--cells", "24", "--duration", "1 h", "--no-pictures", "--quiet"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = _run(["simulate", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def one_line(err: str) -> str:
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ")
    assert "Traceback" not in err
    return lines[0]


def test_main_job_prints_a_table_and_writes_what_it_names(tmp_path, capsys):
    out = tmp_path / "run"
    code, text, err = run(
        capsys, "levodopa", "dopamine", "caffeine", "--out", str(out), "--cells", "24", "--duration", "2 h", "--netcdf"
    )
    assert code == 0, err
    for word in ("levodopa", "dopamine (from levodopa)", "Kp,uu", "not for diagnosis or dosing", "LAT1"):
        assert word in text
    names = text.splitlines()[-2].split(": ", 1)[1].split(", ")
    for name in names:
        assert (out / name).exists(), name
    assert any(name.endswith(".png") for name in names)


def test_json_is_one_object_with_every_metric(tmp_path, capsys):
    code, text, _ = run(capsys, "caffeine", "--out", str(tmp_path / "j"), *FAST, "--json")
    record = json.loads(text)
    assert code == 0
    row = record["compounds"][0]
    for key in ("auc_plasma_free", "auc_interstitium", "kp_uu", "half_time_s", "routes", "mass_defect_run", "extraction"):
        assert key in row
    assert row["extraction"] is None  # a slab has no flow: no number is invented
    assert row["mass_defect_run"] < 1e-10


def test_run_record_names_versions_and_no_folder(tmp_path, capsys):
    curve = tmp_path / "curve.csv"
    curve.write_text("time [h],concentration [uM]\n0,0\n0.5,2\n1,1\n")
    out = tmp_path / "rec"
    assert run(capsys, "caffeine", "--plasma", str(curve), "--out", str(out), *FAST)[0] == 0
    text = (out / "run.json").read_text()
    record = json.loads(text)
    assert str(tmp_path) not in text
    assert record["inputs"][0]["name"] == "curve.csv"
    assert len(record["inputs"][0]["sha256"]) == 64
    assert record["versions"]["numpy"]
    assert "rec" in (out / "command.txt").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["caffein"], 3, "did you mean caffeine"),
        ([], 3, "at least one name"),
        (["caffeine", "--species", "cat"], 3, "human"),
        (["caffeine", "--species", "mouse"], 3, "mouse"),
        (["caffeine", "--leak", "-1"], 3, "leak factor"),
        (["caffeine", "--leak", "nan"], 3, "leak factor"),
        (["caffeine", "--pericytes", "1.5"], 3, "0 to 1"),
        (["caffeine", "--duration", "5 kg"], 3, "duration"),
        (["caffeine", "--duration", "-1 h"], 3, "duration"),
        (["caffeine", "--duration", "inf h"], 3, "duration"),
        (["caffeine", "--dose", "100 oral"], 3, "dose"),
        (["caffeine", "--dose", "100 mg swallowed"], 3, "route"),
        (["caffeine", "--dose", "-5 mg oral"], 3, "dose"),
        (["caffeine", "--set", "caffeine.fu_brain=-1"], 3, "fu_brain"),
        (["caffeine", "--set", "caffeine.fu_brian=0.5"], 3, "fu_brain"),
        (["caffeine", "--set", "physiology.endothelium_thickness=0 um"], 3, "endothelium_thickness"),
        (["caffeine", "--set", "physiology.capillary_radios=2 um"], 3, "capillary_radius"),
        (["caffeine", "--set", "nonsense"], 2, "KEY=VALUE"),
        (["caffeine", "--set", "tolerance=1"], 2, "unknown key"),
        (["caffeine", "--rtol", "3"], 3, "rtol"),
        (["caffeine", "--cells", "3"], 3, "cells"),
        (["caffeine", "--method", "magic"], 3, "esdirk43"),
        (["caffeine", "--method", "crank-nicolson"], 3, "fixed step"),
        (["caffeine", "--method", "explicit", "--step", "1 s"], 3, "stability limit"),
        (["caffeine", "--geometry", "sphere"], 3, "geometry"),
        (["caffeine", "--efflux", "P-gp"], 2, "PUMP=SHARE"),
        (["caffeine", "--efflux", "P-gp=-1"], 3, "P-gp"),
        (["caffeine", "--device", "cuda"], 2, "--device"),
        (["caffeine", "--device", "tpu"], 2, "--device"),
        (["caffeine", "--device", "cuda:99", "--geometry", "block"], 2, "use --device cpu"),
        (["caffeine", "--device", "torch-cpu"], 2, "--geometry block"),
        (["caffeine", "--device", "torch-cpu", "--geometry", "block", "--method", "explicit"], 3, "esdirk43"),
        (["caffeine", "--precision", "float32"], 2, "--device cuda"),
        (["caffeine", "--config", "missing.toml"], 3, "no such file"),
        (["caffeine", "--compound-file", "missing.toml"], 3, "no such file"),
        (["caffeine", "--permeability-method", "guess"], 3, "in situ perfusion"),
        (["caffeine", "caffeine"], 3, "twice"),
        (["caffeine", "--no-such-flag"], 2, "no-such-flag"),
        (["caffeine", "--cells", "many"], 2, "cells"),
        (["gabapentin"], 3, "gabapentin"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, arguments, code, words):
    found, text, err = run(capsys, *arguments, "--out", str(tmp_path / "bad"))
    assert found == code, (text, err)
    assert words in one_line(err)
    assert not (tmp_path / "bad").exists()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "header"),
        ("time,conc\n0,1\n1,2\n", "unit"),
        ("time [h],concentration [uM]\n0,1\n", "samples"),
        ("time [h],concentration [uM]\n0,1\n2,2\n1,3\n", "line 4"),
        ("time [h],concentration [uM]\n0,1\n1,nan\n", "line 3"),
        ("time [h],concentration [uM]\n0,1\n1,-2\n", "line 3"),
        ("time [h],concentration [uM]\n0,1\n1,x\n", "line 3"),
        ("time [h],concentration [parsec]\n0,1\n1,2\n", "header"),
    ],
)
def test_bad_plasma_curve_names_the_line(tmp_path, capsys, text, words):
    curve = tmp_path / "curve.csv"
    curve.write_text(text)
    code, _, err = run(capsys, "caffeine", "--plasma", str(curve), "--out", str(tmp_path / "bad"), *FAST)
    assert code == 3
    assert words in one_line(err)


def test_existing_output_is_kept_unless_overwritten(tmp_path, capsys):
    out = tmp_path / "run"
    assert run(capsys, "caffeine", "--out", str(out), *FAST)[0] == 0
    before = (out / "summary.csv").read_bytes()
    code, _, err = run(capsys, "morphine", "--out", str(out), *FAST)
    assert code == 5
    assert "--overwrite" in one_line(err)
    assert (out / "summary.csv").read_bytes() == before
    assert run(capsys, "morphine", "--out", str(out), *FAST, "--overwrite")[0] == 0
    assert b"morphine" in (out / "summary.csv").read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_a_folder_of_somebody_else_is_never_replaced(tmp_path, capsys):
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "chapter.txt").write_text("years of work")
    code, _, err = run(capsys, "caffeine", "--out", str(out), *FAST, "--overwrite")
    assert code == 5
    assert "did not write" in one_line(err)
    assert (out / "chapter.txt").read_text() == "years of work"


def test_output_below_a_file_or_read_only_folder(tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    code, _, err = run(capsys, "caffeine", "--out", str(tmp_path / "file" / "sub"), *FAST)
    assert code == 5
    one_line(err)
    if os.geteuid() != 0:  # root may write everywhere
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o500)
        code, _, err = run(capsys, "caffeine", "--out", str(locked / "x"), *FAST)
        assert code == 5
        one_line(err)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no file system here that refuses root")
def test_a_file_system_that_refuses_is_found_before_the_work(capsys):
    code, _, err = run(capsys, "caffeine", *FAST, "--out", "/proc/krogh")
    assert code == 5
    assert "no way to write" in one_line(err)


def test_dry_run_writes_nothing(tmp_path, capsys):
    code, text, _ = run(capsys, "levodopa", "--out", str(tmp_path / "dry"), "--dry-run")
    assert code == 0
    assert "would run levodopa, dopamine (from levodopa)" in text
    assert not list(tmp_path.iterdir())


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from krogh.cli.main import main; main()", "simulate", *arguments]


def _let_work(process, cpu_s):
    """Wait until a process has spent `cpu_s` seconds of processor time: on a busy machine it may still be starting up."""
    stat = Path(f"/proc/{process.pid}/stat")
    if not stat.exists():
        time.sleep(cpu_s)
    while stat.exists() and process.poll() is None:
        spent = sum(map(int, stat.read_text().rsplit(")", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")
        if spent >= cpu_s:
            return
        time.sleep(0.05)


def test_interrupt_leaves_earlier_results_and_no_scraps(tmp_path):
    out = tmp_path / "run"
    short = [*FAST, "--out", str(out), "--overwrite"]
    assert subprocess.run(command("caffeine", *short), check=False, capture_output=True).returncode == 0
    before = {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()}
    long = [
        "morphine",
        "levodopa",
        "--geometry",
        "cylinder",
        "--cells",
        "200",
        "--cells-along",
        "200",
        "--out",
        str(out),
        "--overwrite",
    ]
    process = subprocess.Popen(command(*long), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _let_work(process, 5.0)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted" in err
    assert "Traceback" not in err
    assert {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_full_disk_is_one_line_and_keeps_earlier_results(tmp_path):
    out = tmp_path / "run"
    arguments = command("caffeine", *FAST, "--out", str(out), "--overwrite")
    assert subprocess.run(arguments, check=False, capture_output=True).returncode == 0
    before = (out / "summary.csv").read_bytes()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    environment = {**os.environ, "NUMBA_DISABLE_JIT": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(arguments, check=False, capture_output=True, text=True, preexec_fn=limit, env=environment)
    assert done.returncode == 5, done.stderr
    assert "no space left" in one_line(done.stderr)
    assert (out / "summary.csv").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_help_imports_no_heavy_library():
    code = (
        "import sys\n"
        "from krogh.cli.main import _run\n"
        "_run(['--help']); _run(['simulate', '--help'])\n"
        "heavy = {'torch', 'numpy', 'scipy', 'xarray', 'matplotlib', 'numba', 'zarr', 'nibabel'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "change",
    [
        ["--leak", "20"], ["--pericytes", "0.2"], ["--efflux", "P-gp=0"], ["--species", "rat"], ["--dose", "20 mg iv"],
        ["--duration", "2 h"], ["--set", "morphine.fu_brain=0.2"], ["--set", "physiology.barrier_area=50 cm2/g"],
        ["--rtol", "1e-2"], ["--cells", "40"], ["--method", "tr-bdf2"], ["--permeability-method", "in silico"],
        ["--set", "volumetric_efflux=true"],
        ["--geometry", "cylinder", "--cells-along", "4"], ["--method", "backward-euler", "--step", "20 s"],
    ],
)  # fmt: skip
def test_every_option_changes_the_result(tmp_path, capsys, change):
    keys = ("auc_interstitium", "kp_uu", "cmax_interstitium", "auc_plasma_free")

    def numbers(name: str, extra: list[str]) -> list[float]:
        _, text, err = run(capsys, "morphine", "--out", str(tmp_path / name), *FAST, "--json", *extra)
        assert text, err
        row = json.loads(text)["compounds"][0]
        return [row[k] for k in keys]

    assert numbers("plain", []) != numbers("changed", change)


def test_amino_acids_compete_with_levodopa(tmp_path, capsys):
    def auc(name: str, extra: list[str]) -> float:
        _, text, _ = run(capsys, "levodopa", "--out", str(tmp_path / name), *FAST, "--json", *extra)
        return json.loads(text)["compounds"][0]["auc_interstitium"]

    fasting = auc("fasting", [])
    assert auc("meal", ["--amino-acids", "2"]) < 0.85 * fasting
    assert fasting < 0.5 * auc("none", ["--amino-acids", "0"])


def test_config_file_set_and_options_have_their_order(tmp_path, capsys):
    path = tmp_path / "run.toml"
    path.write_text('compounds = ["caffeine"]\nduration = "3 h"\ncells = 32\n[physiology]\ncapillary_radius = "2 um"\n')
    out = tmp_path / "o"
    code, _, err = run(
        capsys, "--config", str(path), "--set", "duration=2 h", "--duration", "1 h", "--out", str(out), "--no-pictures", "--quiet"
    )
    assert code == 0, err
    config = json.loads((out / "run.json").read_text())["config"]
    assert config["duration"] == "1 h"
    assert config["cells"] == 32
    assert config["physiology"] == {"capillary_radius": "2 um"}


def test_threads_do_not_change_the_numbers(tmp_path, capsys):
    def numbers(name: str, threads: str) -> str:
        _, text, err = run(capsys, "caffeine", "morphine", "--out", str(tmp_path / name), *FAST, "--json", "--threads", threads)
        assert text, err
        return json.dumps(json.loads(text)["compounds"])

    assert numbers("one", "1") == numbers("two", "2")


def test_same_command_same_bytes(tmp_path, capsys):
    for name in ("a", "b"):
        assert run(capsys, "levodopa", "--out", str(tmp_path / name), *FAST)[0] == 0
    for file in ("summary.csv", "timecourse.csv"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_own_compound_from_a_file(tmp_path, capsys):
    path = Path(tmp_path / "mine.toml")
    path.write_text(
        'name = "mydrug"\nmolar_mass = "300 g/mol"\npermeability = "100 nm/s"\npermeability_basis = "apparent"\n'
        "[fu_plasma]\nhuman = 0.2\n[fu_brain]\nhuman = 0.1\n"
    )
    arguments = [
        "mydrug",
        "--compound-file",
        str(path),
        "--dose",
        "1 uM constant",
        "--out",
        str(tmp_path / "own"),
        *FAST,
        "--json",
    ]
    code, text, err = run(capsys, *arguments)
    assert code == 0, err
    assert json.loads(text)["compounds"][0]["permeability_m_s"] == pytest.approx(1e-7, rel=0.02)
