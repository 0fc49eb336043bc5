"""Find the shared data, or skip with the reason."""

import os
from pathlib import Path

import pytest

from krogh.io.published import data_folder

DEFAULT = Path(__file__).parents[2] / ".." / "shared" / "data"


def published():
    folder = Path(os.environ.get("KROGH_DATA", DEFAULT))
    if not (folder / "pharma").is_dir():
        pytest.skip("the published data are not here: set KROGH_DATA to the folder that holds pharma/")
    return data_folder(folder)
