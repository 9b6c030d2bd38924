"""Before the next backward: `.grad` collects, so what it holds has to go first."""

from __future__ import annotations

from collections.abc import Iterable

from convcore.autograd.variable import Variable


def clear_gradients(tensors: Iterable[Variable], set_to_none: bool) -> None:
    """Set every `.grad` to None, or to zero in the memory that it has."""
    for tensor in tensors:
        if tensor.grad is None:
            continue
        if set_to_none:
            tensor.grad = None
        else:
            gradient = tensor.grad.detach()  # after create_graph=True it stands in a graph
            if not gradient.array.flags.writeable:  # somebody set it to a view that repeats numbers
                gradient = gradient.clone()
            gradient.before_write().fill(0)
            gradient.mark_changed()
            tensor.grad = gradient
