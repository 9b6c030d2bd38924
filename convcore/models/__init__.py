"""Ready-made networks. `get_model("cnn")` makes one by name; `list_models()` says which names there are."""

from convcore.models.cnn import CNN, SimpleCNN
from convcore.models.registry import get_model, list_models

__all__ = ["CNN", "SimpleCNN", "get_model", "list_models"]
