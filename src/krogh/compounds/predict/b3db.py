"""Clean B3DB: rows with a borrowed name, stereoisomers counted twice, and structures with both labels are taken out or merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from krogh.compounds.predict.descriptors import read_structure
from krogh.errors import InputError

__all__ = ["CleanSet", "clean_classification", "clean_regression"]

_WRONG_CID = (100_000_000, 100_010_000)


@dataclass(frozen=True)
class CleanSet:
    """Hold one molecule per skeleton, its value, and what was taken out.

    Attributes
    ----------
    skeletons : tuple of str
        First block of the InChIKey.
    molecules : tuple of rdkit Mol
        Neutral parents.
    y : array, shape (n,)
        1 for BBB+ and 0 for BBB-, or logBB.
    dropped : mapping of str to int
        Reason to number of rows (or, for conflicts, of skeletons).
    """

    skeletons: tuple[str, ...]
    molecules: tuple[Any, ...]
    y: np.ndarray
    dropped: Mapping[str, int]


def _wrong(cid: str) -> bool:
    try:
        number = float(str(cid).split("|")[0])
    except ValueError:
        return False
    return _WRONG_CID[0] <= number <= _WRONG_CID[1]


def _grouped(rows: Sequence[Mapping[str, str]], value: Any) -> tuple[dict[str, list[float]], dict[str, Any], dict[str, int]]:
    from rdkit import Chem, rdBase

    values: dict[str, list[float]] = {}
    molecules: dict[str, Any] = {}
    dropped = {"name of another compound (CID 100000000 to 100010000)": 0, "structure that cannot be read": 0}
    first, second = dropped
    for row in rows:
        if _wrong(row["CID"]):
            dropped[first] += 1
            continue
        try:
            mol, _ = read_structure(row["SMILES"])
        except InputError:
            dropped[second] += 1
            continue
        with rdBase.BlockLogs():
            key = Chem.MolToInchiKey(mol)[:14]
        values.setdefault(key, []).append(value(row))
        molecules.setdefault(key, mol)
    return values, molecules, dropped


def clean_classification(rows: Sequence[Mapping[str, str]]) -> CleanSet:
    """Return one label per skeleton from the rows of ``B3DB_classification.tsv``; skeletons with both labels are dropped."""
    values, molecules, dropped = _grouped(rows, lambda r: float(r["BBB+/BBB-"].strip() == "BBB+"))
    kept = {k: v[0] for k, v in values.items() if len(set(v)) == 1}
    dropped["skeletons with both labels"] = len(values) - len(kept)
    return CleanSet(tuple(kept), tuple(molecules[k] for k in kept), np.array(list(kept.values())), dropped)


def clean_regression(rows: Sequence[Mapping[str, str]]) -> CleanSet:
    """Return the median logBB per skeleton from the rows of ``B3DB_regression.tsv``."""
    values, molecules, dropped = _grouped(rows, lambda r: float(r["logBB"]))
    y = np.array([float(np.median(v)) for v in values.values()])
    dropped["rows merged with another of the same skeleton"] = sum(len(v) - 1 for v in values.values())
    return CleanSet(tuple(values), tuple(molecules[k] for k in values), y, dropped)
