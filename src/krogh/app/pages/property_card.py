"""Show what is known of a compound: structure, values with status and source, and what nobody has measured."""

from __future__ import annotations

from nicegui import ui

from krogh.app.pages.frame import table
from krogh.compounds import Compound
from krogh.report.page import Table

__all__ = ["property_card", "structure_svg"]


def structure_svg(smiles: str | None) -> str | None:
    """Return the drawing of a structure; None without RDKit (extra ``chem``) or for something that is no small molecule."""
    if not smiles:
        return None
    try:
        from rdkit import Chem
        from rdkit.Chem.Draw import rdMolDraw2D
    except ImportError:
        return None
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        return None
    drawer = rdMolDraw2D.MolDraw2DSVG(300, 190)
    rdMolDraw2D.PrepareAndDrawMolecule(drawer, molecule)
    drawer.FinishDrawing()
    return drawer.GetDrawingText().partition("?>")[2]


def property_card(compound: Compound) -> None:
    """Show one compound, closed until the user opens it."""
    from krogh.compounds import missing_for_simulation
    from krogh.compounds.describe import describe

    rows = describe(compound)
    blanks = [r.key for r in rows if r.value is None]
    with ui.expansion(f"About {compound.name}").classes("w-full").props('data-testid="about"'):
        ui.label(compound.role).classes("krogh-soft")
        drawing = structure_svg(compound.smiles)
        if drawing:
            ui.html(drawing, sanitize=False).classes("krogh-structure").props(
                f'role="img" aria-label="structure of {compound.name}"'
            )
        if compound.notes:
            ui.label(" ".join(compound.notes.split()))
        for species in ("human", "rat"):
            missing = missing_for_simulation(compound, species)
            if missing:
                ui.label(f"Missing for the {species}: {', '.join(missing)}").classes("krogh-warn")
        shown = [
            [r.key, f"{r.shown(v.value):.4g} {r.unit}".strip(), v.status, v.source, r.detail]
            for r in rows
            if (v := r.value) is not None
        ]
        note = "V read in the source, R recalled, C computed, A assumed."
        table(Table(("value", "number", "status", "source", "detail"), shown, note=note))
        if blanks:
            ui.label(f"Blank, since nobody measured it or no source was found: {', '.join(blanks)}.").classes("krogh-soft")
