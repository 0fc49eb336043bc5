"""Name a real dose for the compounds that people try first; used only where none is given."""

from __future__ import annotations

from krogh.blood.dose import Dose, parse_dose
from krogh.compounds.compound import Compound

__all__ = ["TYPICAL_DOSES", "typical_dose"]

#: Usual single human doses, from product labels as recalled; examples of a simulation, not advice.
TYPICAL_DOSES = {
    "levodopa": "100 mg oral",
    "dopamine": "21 mg infusion over 1 h",
    "caffeine": "100 mg oral",
    "morphine": "10 mg iv",
    "acetaminophen": "1 g oral",
    "ibuprofen": "400 mg oral",
    "indomethacin": "50 mg oral",
    "diazepam": "10 mg oral",
    "fentanyl": "100 ug iv",
    "mannitol": "50 g infusion over 30 min",
}


def typical_dose(compound: Compound, species: str) -> Dose:
    """Return a usual human dose, or 1 mg/kg: oral where absorption is known, else intravenous."""
    if species == "human" and compound.name.lower() in TYPICAL_DOSES:
        return parse_dose(TYPICAL_DOSES[compound.name.lower()])
    pk = compound.pk.get(species)
    oral = pk is not None and pk.ka_per_s is not None and pk.bioavailability is not None
    return parse_dose("1 mg/kg oral" if oral else "1 mg/kg iv")
