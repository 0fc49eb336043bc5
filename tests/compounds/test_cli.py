"""``krogh compounds`` and the reader of a user's file: output on stdout, one line and exit code 3 for bad input."""

import json
import subprocess
import sys

import pytest
import typer

from krogh.cli import compounds as command
from krogh.errors import InputError, UsageError
from krogh.io.compound_file import read_compound_file


def run(*arguments):
    app = typer.Typer(rich_markup_mode=None)
    app.callback()(lambda: None)
    command.register(app)
    return app(args=["compounds", *arguments], standalone_mode=False)


def test_list_is_one_line_per_compound_in_a_pipe(capsys):
    run("list")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("name")
    row = next(line for line in lines if line.startswith("caffeine"))
    for part in ("194.19", "-0.01", "2.5 um/s intrinsic, in situ perfusion", "human rat", "nothing"):
        assert part in row
    assert "missing for human" in lines[0]
    assert len(lines) >= 42 + 2


def test_list_as_json(capsys):
    run("list", "--json")
    record = json.loads(capsys.readouterr().out)
    levodopa = next(c for c in record["compounds"] if c["name"] == "levodopa")
    assert levodopa["transporters"][0] == "LAT1"
    assert levodopa["missing_human"] == []


def test_show_has_every_value_and_names_blanks(capsys):
    run("show", "L-DOPA")
    out = capsys.readouterr().out
    assert "LAT1.vmax" in out
    assert next(line for line in out.splitlines() if line.startswith("logd74")).split()[1] == "blank"
    assert "status: V read in the source" in out


@pytest.mark.parametrize("name", ["morphine", "anti-TfR IgG", "PBR28", "water"])
def test_show_as_json(name, capsys):
    run("show", name, "--json")
    record = json.loads(capsys.readouterr().out)
    assert record["name"] == name
    for entry in record["values"]:
        if entry["value"] is not None:
            assert entry["source"]
            assert entry["status"] in ("V", "R", "C", "A")
            assert {"unit", "unit_si", "value_si", "low", "high"} <= entry.keys()


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_show_on_a_terminal_of_any_width(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    run("show", "caffeine")
    run("list")
    assert "fu_plasma.human" in capsys.readouterr().out


def test_own_compound_file(tmp_path, capsys):
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nmolar_mass = "300 g/mol"\n[fu_plasma]\nhuman = "0.1"\n', encoding="utf-8")
    run("show", "--compound-file", str(path))
    assert "missing for a simulation in human: permeability, fu_brain.human, pk.human" in capsys.readouterr().out
    run("show", "MINE", "--compound-file", str(path))
    with pytest.raises(InputError, match=r"'mine', the name in mine\.toml"):
        run("show", "other", "--compound-file", str(path))


def test_unknown_name_and_no_name():
    with pytest.raises(InputError, match="did you mean morphine"):
        run("show", "morphin")
    with pytest.raises(UsageError, match="--compound-file"):
        run("show")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name = ", "no valid TOML"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"x = " + b"[" * 100_000, "mine.toml"),
        (b"name = 1" + b"0" * 10_000, "mine.toml"),
        (b"#" * 2_000_000, "at most"),
        (b'name = "x"\nfu_plsma = 1', "fu_plasma"),
        (b"", "name"),
    ],
)
def test_bad_files_give_one_line(content, said, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_compound_file(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert caught.value.exit_code == 3


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_compound_file(tmp_path / "none.toml")
    with pytest.raises(InputError, match="no regular file"):
        read_compound_file(tmp_path)
    with pytest.raises(InputError):
        read_compound_file("a\0b")


def test_exit_code_and_single_line_of_the_real_command():
    done = subprocess.run(
        [sys.executable, "-c", "from krogh.cli.main import main; main(['compounds', 'show', 'cafeine'])"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "caffeine" in done.stderr


def test_importing_the_command_loads_nothing_heavy():
    code = (
        "import sys, typer; from krogh.cli import compounds; a = typer.Typer(); compounds.register(a); "
        "print([m for m in ('numpy', 'torch', 'xarray', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
