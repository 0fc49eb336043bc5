"""Fixed step, second order, A-stable but not L-stable: rings after a jump; kept as a named baseline."""

import numpy as np

from krogh.transport.steppers.tableau import Tableau

CRANK_NICOLSON = Tableau(name="crank-nicolson", a=np.array([[0, 0], [0.5, 0.5]]), b_error=None, order=2, error_order=0)
