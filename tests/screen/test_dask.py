"""The same chunks on a Dask cluster: the same bytes, also when a worker is killed."""

import pytest
from tests.screen.test_chunks import CHUNKS, PLAN, _bytes, die_once, square

from krogh.errors import InputError
from krogh.runs.dask_cluster import spread_on_dask

pytest.importorskip("distributed", reason="dask.distributed is not installed (extra dask)")


def _run(out, work, spread):
    from krogh.io.chunk_folder import open_chunks
    from krogh.runs.chunks import run_chunks

    with open_chunks(out, PLAN, resume=False, overwrite=False) as store:
        return run_chunks(CHUNKS, work, store, spread=spread)


def test_a_killed_worker_changes_nothing(tmp_path, monkeypatch):
    mark = tmp_path / "mark"
    monkeypatch.setenv("KROGH_TEST_MARK", str(mark))
    assert _run(tmp_path / "here", square, None) == 6
    assert _run(tmp_path / "there", die_once, spread_on_dask("local:2")) == 6
    assert mark.exists()
    assert _bytes(tmp_path / "there" / "chunks") == _bytes(tmp_path / "here" / "chunks")


@pytest.mark.parametrize("bad", ["local:0", "local:", "local:x"])
def test_bad_targets_are_refused(bad):
    with pytest.raises(InputError, match="--dask"):
        spread_on_dask(bad)
