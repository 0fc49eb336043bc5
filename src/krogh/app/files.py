"""Serve what belongs to a run: files of its folder by their listed names, its report, its pictures, its data for the viewers."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.responses import FileResponse, JSONResponse

from krogh.app.jobs import Job, read_job
from krogh.app.workspace import Workspace
from krogh.errors import InputError, KroghError

__all__ = ["add_routes", "downloads"]

_MOST_FILES = 2000
#: matplotlib's settings belong to the process: one drawing at a time.
_DRAWING = threading.Lock()


def downloads(job: Job) -> dict[str, Path]:
    """Return every file that may be fetched, by its path inside the job; links and hidden files are left out."""
    found: dict[str, Path] = {}
    for path in _walk(job.folder):
        if len(found) >= _MOST_FILES:
            break
        found[path.relative_to(job.folder).as_posix()] = path
    return found


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or path.name.startswith(".") or path.name in ("lock", "results.zarr", "chunks"):
            continue
        if path.is_dir():
            yield from _walk(path)
        elif path.is_file():
            yield path


def add_routes(app: Any, workspace: Workspace) -> None:
    """Add the addresses of files to `app`; each looks only into the folder of the user who asks."""

    def job_of(request: Request, run_id: str) -> Job:
        return read_job(workspace.place(request.scope["krogh_user"]).run(run_id))

    def answer(make: Any) -> Any:
        try:
            return make()
        except InputError as error:
            raise HTTPException(404, str(error)) from None
        except (KroghError, OSError) as error:
            raise HTTPException(409, " ".join(str(error).split())[:300]) from None

    def file(request: Request, run_id: str, path: str) -> Any:
        def make() -> Any:
            job = job_of(request, run_id)
            found = downloads(job).get(path)
            if found is None:
                raise InputError("file", got=repr(path[:80]), expected="one of the list")
            # nothing of a run is shown as a page of this address: everything is a download
            return FileResponse(found, filename=f"{_stem(job)}-{found.name}", content_disposition_type="attachment")

        return answer(make)

    def report(request: Request, run_id: str) -> Any:
        from krogh.report.build import build_report

        def make() -> Any:
            job = job_of(request, run_id)
            with _DRAWING:
                text = build_report(job.result)
            head = {"content-disposition": f'attachment; filename="{_stem(job)}-report.html"'}
            return Response(text, media_type="text/html", headers=head)

        return answer(make)

    def pictures(request: Request, run_id: str) -> Any:
        def make() -> Any:
            job = job_of(request, run_id)
            head = {"content-disposition": f'attachment; filename="{_stem(job)}-pictures.zip"'}
            return Response(_pictures(job), media_type="application/zip", headers=head)

        return answer(make)

    def view(pack: Callable[[Any], dict[str, Any]]) -> Any:
        def one(request: Request, run_id: str, number: int) -> Any:
            from krogh.io.store import open_results

            def make() -> Any:
                data = open_results(job_of(request, run_id).result)
                if not 0 <= number < data.sizes["compound"]:
                    raise InputError("compound", got=number, expected=f"0 to {data.sizes['compound'] - 1}")
                return JSONResponse(pack(data.isel(compound=number)))

            return answer(make)

        return one

    def section(data: Any) -> dict[str, Any]:
        from krogh.app.views.section import pack_section

        return pack_section(data)

    def volume(data: Any) -> dict[str, Any]:
        from krogh.app.views.volume import pack_volume

        return pack_volume(data)

    def brain_map(request: Request, run_id: str, name: str) -> Any:
        from krogh.app.views.brain import fitted_maps, pack_map

        def make() -> Any:
            found = fitted_maps(job_of(request, run_id).result).get(name)
            if found is None:
                raise InputError("map", got=repr(name[:40]), expected="one of the run")
            return JSONResponse(pack_map(found, name))

        return answer(make)

    def scan(request: Request, run_id: str, number: int) -> Any:
        from krogh.app.views.brain import scan_of
        from krogh.app.views.scan import pack_scan

        return answer(lambda: JSONResponse(pack_scan(scan_of(job_of(request, run_id).folder), number)))

    def uploaded(request: Request, name: str, number: int) -> Any:
        from krogh.app.views.scan import pack_scan

        place = workspace.place(request.scope["krogh_user"])
        return answer(lambda: JSONResponse(pack_scan(place.upload(name), number)))

    def screened(request: Request, run_id: str) -> Any:
        from krogh.app.views.screen import pack_table, read_screen

        return answer(lambda: JSONResponse(pack_table(read_screen(job_of(request, run_id).result))))

    for path, function in (
        ("files/{path:path}", file),
        ("report", report),
        ("pictures.zip", pictures),
        ("section/{number}", view(section)),
        ("volume/{number}", view(volume)),
        ("map/{name}", brain_map),
        ("screen", screened),
        ("scan/{number}", scan),
    ):
        app.get(f"/runs/{{run_id}}/{path}", include_in_schema=False)(function)
    app.get("/uploads/{name}/{number}", include_in_schema=False)(uploaded)


def _stem(job: Job) -> str:
    from krogh.plots.save import file_stem

    return file_stem(job.title)[:40]


def _pictures(job: Job) -> bytes:
    """Return the pictures of a run as one archive, drawn now where the run has none."""
    import tempfile

    from krogh.io.run_folder import read_run

    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive, _DRAWING:
        stored = read_run(job.result).pictures()
        for picture in stored:
            archive.writestr(picture.name, picture.png)
        if not stored:
            from krogh.io.store import open_results
            from krogh.plots.save import save_figures

            with tempfile.TemporaryDirectory() as scratch:
                for path in save_figures(open_results(job.result), Path(scratch)):
                    archive.write(path, path.name)
    return target.getvalue()
