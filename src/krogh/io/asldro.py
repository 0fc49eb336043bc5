"""Read the 3 T digital brain (labels, T1, T2, proton density at 1 mm) from the shared data folder."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from krogh.errors import InputError
from krogh.fexi.phantom import TISSUES, Tissue
from krogh.io.nifti_guard import check_header, open_stream, read_errors

__all__ = ["brain_file", "read_brain"]

_FILE = Path("fexi/asldro/hrgt_icbm_2009a_nls_3t.nii.gz")
_T1, _T2, _M0, _LABEL = 2, 3, 5, 6


def brain_file() -> Path:
    """Return the path of the brain volume: in the folder of ``KROGH_DATA``, default ``../shared/data``.

    Raises
    ------
    InputError
        If it is not there.
    """
    path = Path(os.environ.get("KROGH_DATA", "../shared/data")) / _FILE
    if not path.is_file():
        raise InputError(
            "phantom brain",
            got=f"no {_FILE.name}",
            expected="the folder with the data in KROGH_DATA",
            hint="or use --phantom shapes",
        )
    return path


def read_brain(path: Path | None = None) -> tuple[NDArray[np.uint8], NDArray[np.float64], dict[int, Tissue]]:
    """Return labels (1 grey, 2 white, 3 CSF) [x, y, z], the affine [mm], and tissues with the T1, T2 and density of the volume.

    The seven quantities of the file pass one after the other, so that memory stays below a quarter of the whole.
    """
    path = path or brain_file()
    with read_errors(path.name):
        header = check_header(path, path.name)
        if len(header.shape) != 4 or header.shape[3] <= _LABEL:
            raise InputError(path.name, got=f"shape {header.shape}", expected="seven quantities (ASLDRO ground truth)")
        grid = header.shape[:3]
        count = int(np.prod(grid))
        kept: dict[int, NDArray[Any]] = {}
        with open_stream(path) as stream:
            stream.read(header.offset)
            for quantity in range(header.shape[3]):
                raw = stream.read(count * header.dtype.itemsize)
                if len(raw) < count * header.dtype.itemsize:
                    raise InputError(path.name, got="a cut-off file", hint="copy it again")
                if quantity in (_T1, _T2, _M0, _LABEL):
                    kept[quantity] = np.frombuffer(raw, header.dtype).astype(np.float32)
        labels = np.rint(kept[_LABEL]).astype(np.uint8)
        tissues = {}
        for value, tissue in TISSUES.items():
            place = labels == value
            if not place.any():
                raise InputError(path.name, got=f"no voxel with label {value}", expected="labels 1 grey, 2 white, 3 CSF")
            t1, t2, m0 = (round(float(kept[q][place].mean(dtype=np.float64)), 4) for q in (_T1, _T2, _M0))
            tissues[value] = dataclasses.replace(tissue, t1_s=t1, t2_s=t2, density=m0)
    return labels.reshape(grid, order="F"), header.affine, tissues
