"""Hostile and damaged NIfTI files: every one is read or refused in one line; nothing hangs, nothing eats the memory."""

from __future__ import annotations

import contextlib
import gzip
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from krogh.errors import InputError
from krogh.io.nifti import read_image

from ._files import nifti

VALUES = np.arange(5 * 6 * 7 * 8, dtype=np.float32).reshape(5, 6, 7, 8)


@contextlib.contextmanager
def little_memory(limit_bytes: float = 4e6) -> Iterator[None]:
    """Fail if the block allocates what a lying header asks for."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit_bytes
    finally:
        tracemalloc.stop()


def verdict(path: Path) -> str:
    """Return "read" or "refused"; any other exception fails the test."""
    try:
        image = read_image(path)
    except InputError as error:
        return "refused" if "\n" not in str(error) and error.exit_code == 3 else "refused badly"
    assert np.isfinite(image.affine).all()
    assert abs(np.linalg.det(image.affine[:3, :3])) > 0
    return "read"


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Return `content` damaged in one of seven ways."""
    raw = bytearray(content)
    kind = rng.integers(7)
    if kind == 0:  # bit flips in the header
        for _ in range(rng.integers(1, 6)):
            raw[rng.integers(348)] ^= 1 << rng.integers(8)
    elif kind == 1:  # cut off
        del raw[rng.integers(len(raw)) :]
    elif kind == 2:  # dimensions
        at = 40 + 2 * int(rng.integers(8))
        raw[at : at + 2] = int(rng.choice([-32768, -1, 0, 1, 2, 7, 8, 32767])).to_bytes(2, "little", signed=True)
    elif kind == 3:  # a float field becomes NaN, infinite or huge
        at = int(rng.choice([*range(76, 108, 4), 108, 112, 116, *range(256, 328, 4)]))
        raw[at : at + 4] = np.float32(rng.choice([np.nan, np.inf, -np.inf, 1e38, -1e38, 0.0])).tobytes()
    elif kind == 4:  # datatype and bitpix
        raw[70:74] = rng.integers(-5, 3000, 2).astype("<i2").tobytes()
    elif kind == 5:  # random bytes anywhere
        for _ in range(rng.integers(1, 40)):
            raw[rng.integers(len(raw))] = rng.integers(256)
    else:  # tail added
        raw += rng.bytes(int(rng.integers(1, 5000)))
    return bytes(raw)


@pytest.mark.parametrize("big", [False, True], ids=["little-endian", "big-endian"])
def test_3000_damaged_files_are_read_or_refused(tmp_path: Path, big: bool) -> None:
    rng = np.random.default_rng(7)
    plain = nifti(tmp_path / "good.nii", VALUES, big=big).read_bytes()
    path = tmp_path / "bad.nii"
    count = {"read": 0, "refused": 0}
    for _ in range(1500):
        path.write_bytes(mutate(plain, rng))
        count[verdict(path)] += 1
    assert count["refused"] > 300
    assert count["read"] > 100


def test_1000_damaged_gzip_files_are_read_or_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    plain = nifti(tmp_path / "good.nii", VALUES).read_bytes()
    path = tmp_path / "bad.nii.gz"
    with little_memory(100e6):
        for i in range(1000):
            if i % 2:
                raw = bytearray(gzip.compress(plain, 1))
                for _ in range(rng.integers(1, 5)):
                    raw[rng.integers(len(raw))] ^= 1 << rng.integers(8)
                content = bytes(raw[: rng.integers(len(raw))] if rng.random() < 0.4 else raw)
            else:
                content = gzip.compress(mutate(plain, rng), 1)
            path.write_bytes(content)
            verdict(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_header_that_claims_2000_cubed_is_refused_at_once(tmp_path: Path, suffix: str) -> None:
    def lie(header: nib.Nifti1Header) -> None:
        header["dim"][:5] = [4, 2000, 2000, 2000, 2]

    path = nifti(tmp_path / f"lie{suffix}", np.zeros(256, np.int16).reshape(4, 8, 8, 1), edit=lie)
    with little_memory(), pytest.raises(InputError, match="claims"):
        read_image(path)


def test_a_header_within_the_limits_but_beyond_the_file_is_refused_before_allocation(tmp_path: Path) -> None:
    def lie(header: nib.Nifti1Header) -> None:
        header["dim"][:5] = [4, 1000, 1000, 1000, 2]

    for suffix in (".nii", ".nii.gz"):
        path = nifti(tmp_path / f"lie{suffix}", np.zeros((4, 8, 8, 1), np.int16), edit=lie)
        with little_memory(), pytest.raises(InputError):
            read_image(path)


@pytest.mark.parametrize("megabytes", [5, 200])
def test_a_gzip_bomb_stops_at_the_size_in_its_header(tmp_path: Path, megabytes: int) -> None:
    content = nifti(tmp_path / "small.nii", VALUES).read_bytes()
    path = tmp_path / "bomb.nii.gz"
    with gzip.open(path, "wb", 1) as stream:
        stream.write(content)
        for _ in range(megabytes):
            stream.write(bytes(1_000_000))
    with little_memory(), pytest.raises(InputError, match="its header says"):
        read_image(path)


def test_a_gzip_file_of_empty_members_is_not_followed_to_its_end(tmp_path: Path) -> None:
    content = gzip.compress(nifti(tmp_path / "small.nii", VALUES).read_bytes(), 1)
    empty = gzip.compress(b"", 1) * 300_000
    for first in (b"", content):
        path = tmp_path / "members.nii.gz"
        path.write_bytes(first + empty)
        with little_memory(), pytest.raises(InputError):
            read_image(path)


def test_a_gzip_file_in_blocks_is_read(tmp_path: Path) -> None:
    raw = nifti(tmp_path / "a.nii", VALUES).read_bytes()
    blocks = [raw[i : i + 1000] for i in range(0, len(raw), 1000)]
    (tmp_path / "blocks.nii.gz").write_bytes(b"".join(gzip.compress(b) for b in blocks))
    np.testing.assert_array_equal(read_image(tmp_path / "blocks.nii.gz").data, VALUES)


def test_more_than_the_free_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = nifti(tmp_path / "a.nii", VALUES)
    monkeypatch.setattr("krogh.io.nifti_guard.free_memory_bytes", lambda: 1000)
    with pytest.raises(InputError, match="memory"):
        read_image(path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.nii", b"", "not a NIfTI"),
        ("text.nii.gz", b"hello, I am a text", "not a NIfTI"),
        ("half.nii.gz", gzip.compress(b"x" * 4000, mtime=0)[:20], "not a NIfTI"),
        ("png.nii", b"\x89PNG\r\n\x1a\n" + bytes(1000), "not a NIfTI"),
    ],
    ids=["empty", "text", "half", "png"],
)
def test_other_files_are_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_image(tmp_path / name)


def test_folders_pipes_and_missing_files_are_refused(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.nii")
    for name in ("pipe.nii", "missing.nii", "."):
        with pytest.raises(InputError):
            read_image(tmp_path / name)
    with pytest.raises(InputError):
        read_image("/dev/zero")
