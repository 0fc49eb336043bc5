"""Time steppers: one file each.

To add an implicit one: write its table in a file and name it in :data:`STEPPERS`; one without a table is a march in
:data:`MARCHES`.
"""

from krogh.transport.steppers.adi import adi_march
from krogh.transport.steppers.backward_euler import BACKWARD_EULER
from krogh.transport.steppers.crank_nicolson import CRANK_NICOLSON
from krogh.transport.steppers.esdirk43 import ESDIRK43
from krogh.transport.steppers.explicit import explicit_march
from krogh.transport.steppers.tableau import Tableau
from krogh.transport.steppers.tr_bdf2 import TR_BDF2

#: name -> table of an implicit method.
STEPPERS: dict[str, Tableau] = {t.name: t for t in (ESDIRK43, TR_BDF2, CRANK_NICOLSON, BACKWARD_EULER)}
#: name -> march with a fixed step: forward Euler, and alternating directions (blocks).
MARCHES = {"explicit": explicit_march, "adi": adi_march}

__all__ = ["MARCHES", "STEPPERS", "Tableau"]
