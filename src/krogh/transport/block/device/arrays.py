"""Let NumPy's functions work on arrays that live on a torch device, so that one time stepper serves them all.

The march forms sums, maxima and error norms of states with NumPy's own functions. :class:`DeviceArray` answers these by torch
(NumPy's protocols ``__array_ufunc__`` and ``__array_function__``, NEP 13 and 18), so that a state never leaves its device. What
has been summed over its last axis is small, decides how the march goes on, and comes back as a NumPy array.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.lib.mixins import NDArrayOperatorsMixin

__all__ = ["DeviceArray", "on_device", "tensor_of"]

#: NumPy's name of a function -> torch's, where they differ.
_NAMES = {"power": "pow"}


def tensor_of(x: Any, device: torch.device) -> torch.Tensor:
    """Return `x` (NumPy, torch, number) as a tensor on `device`; one number stays where it is, which torch allows."""
    if isinstance(x, DeviceArray):
        return x.tensor
    if isinstance(x, torch.Tensor):
        return x
    array = np.asarray(x)
    tensor = torch.from_numpy(array) if array.flags.writeable and min(array.strides, default=0) >= 0 else torch.tensor(array)
    return tensor if array.ndim == 0 else tensor.to(device, non_blocking=True)


def on_device(x: Any, device: torch.device) -> DeviceArray:
    """Return a float64 copy of `x` on `device`, or `x` itself where it is there."""
    if isinstance(x, DeviceArray):
        return x
    return DeviceArray(torch.tensor(np.ascontiguousarray(x), dtype=torch.float64, device=device))


class DeviceArray(NDArrayOperatorsMixin):
    """Hold a tensor and behave like a NumPy array where the march needs it."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape."""
        return tuple(self.tensor.shape)

    @property
    def ndim(self) -> int:
        """Return the number of axes."""
        return self.tensor.ndim

    def copy(self) -> DeviceArray:
        """Return a copy."""
        return DeviceArray(self.tensor.clone())

    def __getitem__(self, key: Any) -> DeviceArray:
        """Return a view."""
        return DeviceArray(self.tensor[key])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return the values in the memory of the processor; asked for explicitly only (``np.asarray``)."""
        return self.tensor.cpu().numpy().astype(dtype or np.float64, copy=bool(copy))

    def _reduced(self, value: torch.Tensor, axis: int | None) -> Any:
        if axis is None or axis % self.ndim == self.ndim - 1:
            return value.cpu().numpy()[()]
        return DeviceArray(value)

    def sum(self, axis: int | None = None, keepdims: bool = False) -> Any:
        """Return the sum along an axis."""
        return self._reduced(self.tensor.sum() if axis is None else self.tensor.sum(axis, keepdim=keepdims), axis)

    def max(self, axis: int | None = None) -> Any:
        """Return the largest value along an axis."""
        return self._reduced(self.tensor.max() if axis is None else self.tensor.amax(axis), axis)

    def min(self, axis: int | None = None) -> Any:
        """Return the smallest value along an axis."""
        return self._reduced(self.tensor.min() if axis is None else self.tensor.amin(axis), axis)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, where: Any = True) -> Any:
        """Answer an element-wise function of NumPy."""
        function = getattr(torch, _NAMES.get(ufunc.__name__, ufunc.__name__), None)
        if method != "__call__" or function is None:
            return NotImplemented
        given = [tensor_of(x, self.tensor.device) for x in inputs]
        if ufunc is np.power:
            given[1] = inputs[1]  # a square as such, not by logarithms
        if where is not True:
            kept = torch.where(tensor_of(where, self.tensor.device), function(*given), out[0].tensor)
            out[0].tensor.copy_(kept)
            return out[0]
        if out is None:
            return DeviceArray(function(*given))
        function(*given, out=out[0].tensor)
        return out[0]

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Answer the few other functions that the march uses."""
        if function is np.where:
            mask, yes, no = (tensor_of(x, self.tensor.device) for x in args)
            return DeviceArray(torch.where(mask, yes, no))
        if function is np.zeros_like:
            return DeviceArray(torch.zeros_like(args[0].tensor))
        return NotImplemented
