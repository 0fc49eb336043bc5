"""Shared data of the FEXI tests."""

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("KROGH_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))


@pytest.fixture(scope="session")
def texi_mc():
    """Folder of the Monte-Carlo signals, or skip."""
    folder = DATA / "fexi" / "texi_mc"
    if not folder.is_dir():
        pytest.skip("the Monte-Carlo signals (texi_mc) are not here: set KROGH_DATA to the folder that holds fexi/")
    return folder
