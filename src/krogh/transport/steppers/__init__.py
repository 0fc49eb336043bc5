"""Time steppers: one file each.

To add an implicit one: write its table in a file and name it in :data:`STEPPERS`.
"""

from krogh.transport.steppers.backward_euler import BACKWARD_EULER
from krogh.transport.steppers.crank_nicolson import CRANK_NICOLSON
from krogh.transport.steppers.esdirk43 import ESDIRK43
from krogh.transport.steppers.tableau import Tableau
from krogh.transport.steppers.tr_bdf2 import TR_BDF2

#: name -> table of an implicit method; ``explicit`` is the forward Euler baseline in ``explicit.py``.
STEPPERS: dict[str, Tableau] = {t.name: t for t in (ESDIRK43, TR_BDF2, CRANK_NICOLSON, BACKWARD_EULER)}

__all__ = ["STEPPERS", "Tableau"]
