"""Loading a state dict: everything is compared first, so that a model is loaded wholly or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from convcore.errors import CheckpointError, DTypeError
from convcore.io.state_dict import PREFIXES
from convcore.tensor import Tensor


class LoadResult(NamedTuple):
    """What `load_state_dict` found and skipped; with `strict=True` both lists are empty."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"{type(self).__name__}(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"

    __str__ = __repr__


def load_into(
    model: str, own: Mapping[str, Tensor], given: Mapping[str, Any], strict: bool, copy: bool = True
) -> LoadResult:
    """Compare `given` with `own` and, if `copy`, copy its tensors into them; see `Module.load_state_dict`."""
    if not isinstance(given, Mapping):
        raise DTypeError(f"load_state_dict: state_dict must be a dict of tensors, got {type(given).__name__}")
    # Old files do not count batches; as in torch, the model's own counts stay.
    missing = [key for key in own if key not in given and key.rpartition(".")[2] != "num_batches_tracked"]
    unexpected = [key for key in given if key not in own]
    rows = []
    if strict:
        rows += [("missing", key, str(own[key].array.shape), "-") for key in missing]
        rows += [("unexpected", key, "-", _shape(given[key])) for key in unexpected]
    for key in own:
        if key in given and _shape(given[key]) != str(own[key].array.shape):
            rows.append(("wrong shape", key, str(own[key].array.shape), _shape(given[key])))
    if rows:
        raise CheckpointError(
            f"load_state_dict: the state dict does not fit {model}, so nothing was loaded{_hint(rows, given)}\n"
            + _table([("problem", "key", "in the model", "in the state dict"), *rows])
        )
    for key, tensor in own.items():
        if copy and key in given:
            np.copyto(tensor.before_write(), given[key].array, casting="unsafe")
            tensor.mark_changed()
    return LoadResult(missing, unexpected)


def _shape(value: Any) -> str:
    return str(value.array.shape) if isinstance(value, Tensor) else f"not a tensor: {type(value).__name__}"


def _hint(rows: list[tuple[str, str, str, str]], given: Mapping[str, Any]) -> str:
    is_nested = any(isinstance(value, Mapping) for value in given.values())
    if is_nested or (given and all(str(key).startswith(PREFIXES) for key in given)):
        return "; convcore.io.find_state_dict(checkpoint) takes the weights out of what was saved around them"
    if any(problem == "wrong shape" for problem, *_ in rows):
        return "; build the model with the sizes that were saved, or remove these keys and pass strict=False"
    return "; strict=False skips missing and unexpected keys"


def _table(rows: list[tuple[str, str, str, str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join("  " + line.rstrip() for line in lines)
