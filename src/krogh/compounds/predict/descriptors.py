"""Read a structure and compute what the predictions need from it, by RDKit (extra ``chem``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from krogh.errors import InputError, UsageError

__all__ = ["Descriptors", "describe_structure", "read_structure", "require_rdkit"]

_LONGEST_SMILES = 2000
_MOST_ATOMS = 500
_ACID = "[CX3](=O)[OX2H1]"
_AMIDE = "C(=O)N"
_patterns: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Descriptors:
    """Hold what is computed from the neutral parent structure.

    Attributes
    ----------
    smiles : str
        Canonical SMILES of the neutral parent.
    skeleton : str
        First block of the InChIKey: the same for all stereoisomers.
    molar_mass_kg_mol, tpsa_m2 : float
        SI.
    logp_calculated : float
        Crippen's logP (log10), a calculated value: its error against measured logP is of the order of 1.
    hbd, hba, rotatable_bonds, aromatic_rings, nitrogens, amides, acids, heavy_atoms : int
        Counts; ``amides`` counts C(=O)N, ``acids`` carboxylic acids.
    notes : tuple of str
        What was changed on the way: counter-ions taken off, charges neutralised.
    """

    smiles: str
    skeleton: str
    molar_mass_kg_mol: float
    logp_calculated: float
    tpsa_m2: float
    hbd: int
    hba: int
    rotatable_bonds: int
    aromatic_rings: int
    nitrogens: int
    amides: int
    acids: int
    heavy_atoms: int
    notes: tuple[str, ...] = ()


def require_rdkit() -> Any:
    """Return :mod:`rdkit`, or say how to get it.

    Raises
    ------
    UsageError
        If it is not installed.
    """
    try:
        import rdkit
    except ImportError:
        raise UsageError("structures", got="no RDKit", hint="pip install 'krogh[chem]'") from None
    return rdkit


def _pattern(smarts: str) -> Any:
    from rdkit import Chem

    if smarts not in _patterns:
        _patterns[smarts] = Chem.MolFromSmarts(smarts)
    return _patterns[smarts]


def read_structure(smiles: str, where: str = "SMILES") -> tuple[Any, tuple[str, ...]]:
    """Return the neutral parent molecule of `smiles` and what was changed to get there.

    Raises
    ------
    InputError
        If the text is no SMILES, is empty, holds no or more than 500 heavy atoms.
    """
    require_rdkit()
    from rdkit import Chem, rdBase
    from rdkit.Chem.MolStandardize import rdMolStandardize

    text = smiles.strip()
    shown = repr(text if len(text) <= 60 else text[:57] + "...")
    if not text or len(text) > _LONGEST_SMILES:
        raise InputError(where, got=shown if text else "nothing", expected=f"a SMILES of 1 to {_LONGEST_SMILES} characters")
    notes: list[str] = []
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(text)
        if mol is None:
            raise InputError(where, got=shown, expected="a valid SMILES", hint="check brackets, rings and valences")
        if not 0 < mol.GetNumHeavyAtoms() <= _MOST_ATOMS:
            raise InputError(where, got=f"{mol.GetNumHeavyAtoms()} heavy atoms", expected=f"1 to {_MOST_ATOMS}")
        if any(atom.GetAtomicNum() == 0 for atom in mol.GetAtoms()):
            raise InputError(where, got=f"{shown} with unknown atoms (*)", expected="a complete structure")
        if "." in Chem.MolToSmiles(mol):
            mol = rdMolStandardize.LargestFragmentChooser(True).choose(mol)
            notes.append("largest fragment taken")
        if any(atom.GetFormalCharge() for atom in mol.GetAtoms()):
            before = Chem.MolToSmiles(mol)
            mol = rdMolStandardize.Uncharger().uncharge(mol)
            if Chem.MolToSmiles(mol) != before:
                notes.append("neutralised")
            if Chem.GetFormalCharge(mol):
                notes.append("permanently charged: the neutral-species model does not apply")
    return mol, tuple(notes)


def describe_structure(smiles: str, where: str = "SMILES") -> Descriptors:
    """Return the descriptors of the neutral parent of `smiles`.

    Raises
    ------
    InputError
        See :func:`read_structure`.

    Examples
    --------
    >>> describe_structure("CCO.Cl").notes
    ('largest fragment taken',)
    """
    return describe_molecule(*read_structure(smiles, where))


def describe_molecule(mol: Any, notes: tuple[str, ...] = ()) -> Descriptors:
    """Return the descriptors of an RDKit molecule that :func:`read_structure` returned."""
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdMolDescriptors as Md

    with rdBase.BlockLogs():
        skeleton = Chem.MolToInchiKey(mol)[:14]
        return Descriptors(
            smiles=Chem.MolToSmiles(mol), skeleton=skeleton or Chem.MolToSmiles(mol, isomericSmiles=False),
            molar_mass_kg_mol=float(Md._CalcMolWt(mol)) * 1e-3, logp_calculated=float(Md.CalcCrippenDescriptors(mol)[0]),
            tpsa_m2=float(Md.CalcTPSA(mol)) * 1e-20, hbd=Md.CalcNumHBD(mol), hba=Md.CalcNumHBA(mol),
            rotatable_bonds=Md.CalcNumRotatableBonds(mol), aromatic_rings=Md.CalcNumAromaticRings(mol),
            nitrogens=sum(a.GetAtomicNum() == 7 for a in mol.GetAtoms()),
            amides=len(mol.GetSubstructMatches(_pattern(_AMIDE))), acids=len(mol.GetSubstructMatches(_pattern(_ACID))),
            heavy_atoms=mol.GetNumHeavyAtoms(), notes=notes,
        )  # fmt: skip
