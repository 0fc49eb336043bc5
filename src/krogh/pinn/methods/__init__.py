"""Train networks on a slab, one method a file.

To add a method: write one file with ``run(task) -> list of Trained`` and name it in :data:`METHODS`.
"""

from collections.abc import Callable

from krogh.pinn.march import Trained
from krogh.pinn.methods import classic, lsq, trained
from krogh.pinn.methods.task import Task

#: name -> training
METHODS: dict[str, Callable[[Task], list[Trained]]] = {
    "lsq": lsq.run,
    "trained": trained.run,
    "classic": classic.run,
}

__all__ = ["METHODS", "Task"]
