"""The counterpart of `torch.utils`: `convcore.utils.data` is `convcore.data` under torch's path."""

from convcore.utils import data

__all__ = ["data"]
