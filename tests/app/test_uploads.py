"""Bodies are bounded on the server however they are sent; a scan that was uploaded is seen and checked before it is fitted."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from tests.app.conftest import Page
from tests.app.made import measure_job
from tests.app.test_browser import Visit
from tests.app.test_guard import ask
from tests.report.hostile import TRAVERSALS

from krogh.app.views.scan import checks_table, pack_scan, protocol_table
from krogh.app.workspace import Place, open_workspace
from krogh.errors import InputError
from krogh.fexi.models import get_model
from krogh.fexi.presets import PRESETS
from krogh.runs.fexi_checks import check_scan, typical_signals

_EDGE = "krogh"
_PATIENCE_S = 120


def multipart(size: int) -> Iterator[bytes]:
    """Yield a form with one file of `size` bytes, in pieces of 64 kB."""
    yield f'--{_EDGE}\r\nContent-Disposition: form-data; name="file"; filename="x.csv"\r\n\r\n'.encode()
    for start in range(0, size, 65536):
        yield b"x" * min(65536, size - start)
    yield f"\r\n--{_EDGE}--\r\n".encode()


def send_chunked(page: Page, path: str, pieces: Iterator[bytes]) -> tuple[int, int]:
    """Send a body whose length is told nowhere; return the status and how many bytes went out before the answer."""
    place, user = urlsplit(page.base), "alice"
    head = {
        "Host": place.netloc, "Transfer-Encoding": "chunked", "Content-Type": f"multipart/form-data; boundary={_EDGE}",
        "Cookie": f"krogh_{place.port}={page.links[user].partition('token=')[2]}", "Connection": "close",
    }  # fmt: skip
    sent = 0
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=_PATIENCE_S) as line:
        line.sendall((f"POST {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in head.items()) + "\r\n").encode())
        answer = b""
        try:
            for piece in pieces:
                line.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
                sent += len(piece)
                line.setblocking(False)
                try:
                    answer = line.recv(65536)
                except BlockingIOError:
                    pass
                finally:
                    line.settimeout(_PATIENCE_S)
                if answer:
                    break
            else:
                line.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            answer = answer or line.recv(65536)
        except ConnectionResetError:
            return 0, sent
    return int(answer.split()[1]), sent


def field_of(page: Page) -> str:
    """Return the address that the field for a table of molecules sends to."""
    body = ask(page, "/screen")[2].decode()
    found = re.search(r"/_nicegui/client/[\w-]+/upload/\d+", body)
    assert found is not None
    return found[0]


def stored(page: Page) -> list[int]:
    folder = page.workspace / "alice" / "uploads"
    return sorted(p.stat().st_size for p in folder.iterdir()) if folder.is_dir() else []


def test_a_chunked_upload_is_cut_off_at_the_cap(page: Page) -> None:
    before = stored(page)
    status, sent = send_chunked(page, field_of(page), multipart(60_000_000))
    assert status == 413
    assert sent < 30_000_000  # it was not read to the end: the rest lay in the buffers of the sockets
    assert stored(page) == before
    assert ask(page, "/screen")[0] == 200


def test_a_file_above_the_cap_in_a_body_below_it_is_not_kept(page: Page) -> None:
    before = stored(page)
    send_chunked(page, field_of(page), multipart(1_500_000))
    assert stored(page) == before


def test_a_chunked_upload_below_the_cap_is_kept(page: Page) -> None:
    before = stored(page)
    status, _ = send_chunked(page, field_of(page), multipart(12_345))
    assert status == 200
    end = time.monotonic() + _PATIENCE_S
    while stored(page) != sorted([*before, 12_345]) and time.monotonic() < end:
        time.sleep(0.05)  # the server answers before the file is written
    assert stored(page) == sorted([*before, 12_345])


@pytest.mark.parametrize("text", [*TRAVERSALS, "", "a" * 12, "0123456789ab.nii/..", "0123456789ab.nii"])
def test_names_of_uploads_are_ours_or_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError):
        Place("me", tmp_path).upload(text)


@pytest.fixture(scope="module")
def scan() -> np.ndarray:
    """Return a small scan that follows the human protocol, with a dark rim."""
    protocol = PRESETS["human-bbb"]()
    clean = get_model("axr").predict(np.array([[0.9e-9, 0.25, 3.0]]), np.full((1, protocol.n_series), 100.0), protocol)[0]
    data = np.random.default_rng(2).normal(clean, 1.0, (6, 5, 4, clean.size)).astype(np.float32)
    data[0] = 0.5
    return data


def test_checks_pass_a_good_scan_and_name_what_is_wrong(scan: np.ndarray) -> None:
    protocol = PRESETS["human-bbb"]()
    assert all(c.passed for c in check_scan(scan, protocol))
    np.testing.assert_allclose(typical_signals(scan), np.median(scan[1:].reshape(-1, scan.shape[3]), axis=0))

    def failed(data: np.ndarray) -> list[str]:
        return [c.question for c in check_scan(data, protocol) if not c.passed]

    assert "the signal falls with b in every series" in failed(scan[..., ::-1])
    dead = scan.copy()
    dead[..., 2] = 0
    assert failed(dead) == ["every volume has signal"]
    holes = scan.copy()
    holes[2, 2, 2, 1] = np.nan
    assert failed(holes) == ["every voxel of every volume holds a number"]
    swapped, tm = scan.copy(), protocol.mixing_time_s  # the unfiltered series in the place of the first filtered one
    free = protocol.filter_b_s_m2 == 0
    first = ~free & (tm == tm[~free].min())
    swapped[..., free], swapped[..., first] = scan[..., first], scan[..., free]
    assert failed(swapped) == ["the filter lowers ADC'"]


def test_volumes_are_those_of_the_file(scan: np.ndarray, tmp_path: Path) -> None:
    import base64

    import nibabel as nib

    path = tmp_path / "scan.nii.gz"
    nib.save(nib.Nifti1Image(scan, np.diag([-2.0, 2.0, 3.0, 1.0])), path)
    packed = pack_scan(path, 3)
    values = np.frombuffer(base64.b64decode(packed["values"]), "<f4").reshape(packed["shape"], order="F")
    np.testing.assert_array_equal(values, scan[::-1, :, :, 3])  # the first axis runs to the left in this file
    assert packed["title"] == f"volume 4 of {scan.shape[3]}"
    with pytest.raises(InputError, match="volume"):
        pack_scan(path, scan.shape[3])
    protocol = PRESETS["human-bbb"]()
    assert protocol_table(protocol, path).columns[-1] == "median signal"
    assert {row[0] for row in checks_table(protocol, path).rows} == {"yes"}
    nib.save(nib.Nifti1Image(scan[..., :3], np.eye(4)), path)
    with pytest.raises(InputError, match="3 volumes"):
        protocol_table(protocol, path)


def test_volumes_are_seen_before_and_after_the_fit(browser: Any, pages: Callable[..., Page], tmp_path: Path) -> None:
    open_workspace(tmp_path / "work", ("me",))
    place = Place("me", tmp_path / "work" / "me")
    run_id = measure_job(place)
    page = pages(workspace=tmp_path / "work")
    visit = Visit(browser, page)
    visit.tab.set_default_timeout(120_000)
    visit.go(f"{page.base}/measure")
    visit.tab.get_by_role("button", name="My files").click()
    scan_file = next((place.runs / run_id / "scan").glob("sub-*/dwi/*_dwi.nii.gz"))
    visit.find("upload-scan").locator("input[type=file]").set_input_files(scan_file)
    visit.tab.get_by_text("received").wait_for()
    visit.find("check").click()
    visit.find("checks").wait_for()
    assert "NO" not in visit.find("checks").inner_text()
    _step_through(visit)
    visit.go(f"{page.base}/measure?run={run_id}")
    visit.tab.get_by_text("Volumes and checks").click()
    visit.find("checks").wait_for()
    assert visit.foreign == []
    assert visit.problems == []
    visit.context.close()


def _step_through(visit: Visit) -> None:
    visit.tab.wait_for_function("document.querySelector('[data-testid=brain0]')?.width > 200")
    before = visit.pixels("brain0")
    visit.find("volume-of-scan").click()
    visit.tab.get_by_role("option").nth(1).click()
    visit.tab.wait_for_function("document.querySelector('.krogh-brains figcaption')?.innerText.startsWith('volume 2')")
    visit.until_changed("brain0", before)
