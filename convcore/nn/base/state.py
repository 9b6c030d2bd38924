"""Loading a state dict. Everything is compared first, so that a model is loaded completely or not at all."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from convcore.errors import CheckpointError, DTypeError
from convcore.io.state_dict import plain_names
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


class Misfit(NamedTuple):
    """One entry that does not fit: the problem, the key, the shapes in the model and in the state dict."""

    problem: str
    key: str
    own: str
    given: str


def load_into(
    model: str, own: Mapping[str, Tensor], given: Mapping[str, Any], strict: bool, copy: bool = True
) -> LoadResult:
    """Compare `given` with `own` and, if `copy`, copy its tensors into them; see `Module.load_state_dict`."""
    if not isinstance(given, Mapping):
        raise DTypeError(f"load_state_dict: state_dict must be a dict of tensors, got {type(given).__name__}")
    missing, unexpected = _missing(own, given), [key for key in given if key not in own]
    rows = misfits(own, given, strict)
    if rows:
        raise CheckpointError(
            f"load_state_dict: the state dict does not fit {model}, so nothing was loaded; {_hint(rows, own, given)}\n"
            + _table([Misfit("problem", "key", "in the model", "in the state dict"), *rows])
        )
    if own and given and len(unexpected) == len(given):
        warnings.warn(
            f"load_state_dict: nothing was loaded, since {no_key_fits(own, given, model)}", UserWarning, stacklevel=3
        )
    for key, tensor in own.items():
        if copy and key in given:
            np.copyto(tensor.before_write(), given[key].array, casting="unsafe")
            tensor.mark_changed()
    return LoadResult(missing, unexpected)


def misfits(own: Mapping[str, Tensor], given: Mapping[str, Any], strict: bool = True) -> list[Misfit]:
    """Why `given` cannot be loaded into `own`; with `strict=False` only wrong shapes count."""
    rows = []
    if strict:
        rows += [Misfit("missing", key, str(own[key].array.shape), "-") for key in _missing(own, given)]
        rows += [Misfit("unexpected", str(key), "-", _shape(given[key])) for key in given if key not in own]
    for key in own:
        if key in given and _shape(given[key]) != str(own[key].array.shape):
            rows.append(Misfit("wrong shape", key, str(own[key].array.shape), _shape(given[key])))
    return rows


def prefixes(own: Iterable[str], given: Iterable[str]) -> tuple[str, str]:
    """The prefixes to remove from and to add to the names in `given`, so that most of them are in `own`.

    At least one of the two is "". Both are if no prefix makes more names fit, or if fewer than half of them fit then.
    """
    own, given = set(own), set(given)
    enough = max(len(own & given), min(len(own), len(given)) // 2)
    for longer, shorter, extra in ((given, own, True), (own, given, False)):
        found = Counter(
            name[: dot + 1]
            for name in longer
            for dot in range(len(name))
            if name[dot] == "." and name[dot + 1 :] in shorter
        )
        for prefix, count in found.most_common(1):
            if count > enough:
                return (prefix, "") if extra else ("", prefix)
    return "", ""


def no_key_fits(own: Mapping[str, Any], given: Mapping[str, Any], model: str) -> str:
    """Half a sentence that says how the names differ."""
    names = [str(key) for key in given]
    extra, lacking = prefixes(own, names)
    if extra:
        return (
            f"its keys begin with {extra!r}, and those of {model} do not: pass "
            f"{{key.removeprefix({extra!r}): value for key, value in state_dict.items()}}"
        )
    if lacking:
        return (
            f"the keys of {model} begin with {lacking!r}, and its own do not: pass "
            f"{{{lacking!r} + key: value for key, value in state_dict.items()}}"
        )
    return f"none of its keys ({names[0]!r:.60}, ..) is one of {model} ({next(iter(own))!r:.60}, ..)"


def _missing(own: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Missing keys, without `num_batches_tracked`: old files lack it, and the model keeps its own, as in torch."""
    return [key for key in own if key not in given and key.rpartition(".")[2] != "num_batches_tracked"]


def _shape(value: Any) -> str:
    return str(value.array.shape) if isinstance(value, Tensor) else f"not a tensor: {type(value).__name__}"


def _hint(rows: list[Misfit], own: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    is_nested = any(isinstance(value, Mapping) for value in given.values())
    named = {str(key): value for key, value in given.items()}
    if is_nested or len(own.keys() & plain_names(named)) > len(own.keys() & named):
        return "convcore.io.find_state_dict(checkpoint) takes the weights out of what was saved around them"
    if own and given and (any(prefixes(own, named)) or not own.keys() & given.keys()):
        return no_key_fits(own, given, "the model")
    if any(row.problem == "wrong shape" for row in rows):
        return "build the model with the sizes that were saved, or remove these keys and pass strict=False"
    return "strict=False skips missing and unexpected keys"


def _table(rows: list[Misfit]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join("  " + line.rstrip() for line in lines)
