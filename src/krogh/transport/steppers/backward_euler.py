"""Fixed step, first order, and never negative: the fallback where a sign matters more than accuracy."""

import numpy as np

from krogh.transport.steppers.tableau import Tableau

BACKWARD_EULER = Tableau(name="backward-euler", a=np.array([[0, 0], [0.0, 1.0]]), b_error=None, order=1, error_order=0)
