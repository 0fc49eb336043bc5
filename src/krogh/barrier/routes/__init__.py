"""Routes across the barrier: each is one flux law in its own file.

To add a route: write one file with a frozen dataclass that has ``name`` and ``flux``, and name it in :data:`ROUTES`.
"""

from krogh.barrier.routes.adsorptive import AdsorptiveTranscytosis
from krogh.barrier.routes.base import Flux, Route
from krogh.barrier.routes.carrier import Carrier
from krogh.barrier.routes.efflux import Efflux
from krogh.barrier.routes.paracellular import Paracellular
from krogh.barrier.routes.passive import Passive
from krogh.barrier.routes.patterned import Patterned, with_density
from krogh.barrier.routes.receptor import ReceptorTranscytosis

#: kind -> flux law
ROUTES = {
    "passive": Passive,
    "paracellular": Paracellular,
    "carrier": Carrier,
    "efflux": Efflux,
    "receptor": ReceptorTranscytosis,
    "adsorptive": AdsorptiveTranscytosis,
}

__all__ = [
    "ROUTES",
    "AdsorptiveTranscytosis",
    "Carrier",
    "Efflux",
    "Flux",
    "Paracellular",
    "Passive",
    "Patterned",
    "ReceptorTranscytosis",
    "Route",
    "with_density",
]
