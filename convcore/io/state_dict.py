"""Finding the weights in the checkpoint of a training script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from convcore.autograd import Variable
from convcore.errors import CheckpointError, DTypeError

if TYPE_CHECKING:
    from convcore.tensor import Tensor

# Names under which scripts store the weights; trained weights come before moving averages.
KNOWN_KEYS = (
    "state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "backbone", "weights",
    "params", "ema_state_dict", "state_dict_ema", "model_ema", "params_ema", "ema",
)  # fmt: skip

# Parts of names added by wrappers of models: torch.compile and distributed training at any position, DataParallel and
# AveragedModel as a prefix of every name.
WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
PREFIX = "module."
LIGHTNING = "pytorch-lightning_version"  # a key of Lightning's checkpoints, where the model is an attribute
MAX_DEPTH = 8
KEY_ADVICE = "; key= says where they are"


def find_state_dict(checkpoint: Any, key: str | None = None) -> dict[str, Tensor]:
    """The weights of a checkpoint by plain names; they may be all of it or be in nested dictionaries.

    Searches under "state_dict", "model", "model_state_dict" and the like, and strips the additions of wrappers from the
    names: "module." if every name starts with it, "_orig_mod." anywhere, and for Lightning also "model." or "net.".
    Entries that are not weights are left out: non-tensors, and AveragedModel's count `n_averaged`.

    Args:
        checkpoint: the result of `load`.
        key: the key of the weights, dotted if nested ("ema.state_dict"), if there are several sets of weights.

    Returns:
        A new dictionary of the same tensors, for `load_state_dict`.

    Raises:
        CheckpointError: there are no weights, or none under `key`; the message lists the existing keys.
    """
    if not isinstance(checkpoint, Mapping):
        raise DTypeError(f"find_state_dict: checkpoint must be a dictionary, got {type(checkpoint).__name__}")
    if key is not None:
        return plain_names(_weights_under(checkpoint, key))
    found = checkpoint
    for _ in range(MAX_DEPTH):
        nested = [name for name in KNOWN_KEYS if isinstance(found.get(name), Mapping)]
        if not nested:
            break
        found = found[nested[0]]
    if not _tensors(found):
        raise CheckpointError(
            f"find_state_dict: no weights found; the checkpoint has the keys {_listed(checkpoint)}, and the weights "
            f"were looked for under {', '.join(KNOWN_KEYS[:4])} and the like{KEY_ADVICE}"
        )
    weights = plain_names(_tensors(found))
    return _attribute(weights) if LIGHTNING in checkpoint else weights


def _weights_under(checkpoint: Mapping[Any, Any], key: str) -> dict[str, Tensor]:
    found: Any = checkpoint
    for part in key.split("."):
        if not isinstance(found, Mapping) or part not in found:
            raise CheckpointError(f"find_state_dict: the checkpoint has no {key!r}; its keys are {_listed(checkpoint)}")
        found = found[part]
    if not isinstance(found, Mapping) or not _tensors(found):
        raise CheckpointError(f"find_state_dict: {key!r} holds no weights but a {type(found).__name__}")
    return _tensors(found)


def _tensors(found: Mapping[Any, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if isinstance(name, str) and isinstance(value, Variable)}


def plain_names(weights: Mapping[str, Any]) -> dict[str, Any]:
    """The entries by the names from before the model was wrapped."""
    plain = {}
    for name, value in weights.items():
        for wrapper in WRAPPERS:
            name = name.replace(wrapper, "")
        plain[name] = value
    while any(name.startswith(PREFIX) for name in plain):
        beside = [name for name in plain if not name.startswith(PREFIX)]
        if not all(_is_count(plain[name]) for name in beside):
            break
        plain = {name.removeprefix(PREFIX): value for name, value in plain.items() if name.startswith(PREFIX)}
    return plain


def _is_count(value: Any) -> bool:
    """Whether this is a single integer, such as AveragedModel's count."""
    return isinstance(value, Variable) and value.array.ndim == 0 and value.array.dtype.kind in "iu"


def _attribute(weights: dict[str, Any]) -> dict[str, Any]:
    """Strip the name of the LightningModule's attribute that holds all weights."""
    first = {name.partition(".")[0] for name in weights}
    if len(first) == 1 and first <= set(KNOWN_KEYS):
        return {name.partition(".")[2]: value for name, value in weights.items()}
    return weights


def _listed(checkpoint: Mapping[Any, Any]) -> str:
    keys = [f"{key!r:.40}" for key in list(checkpoint)[:10]]
    return ", ".join(keys) + (f" and {len(checkpoint) - 10} more" if len(checkpoint) > 10 else "") if keys else "(none)"
