"""Reading and writing weights: PyTorch's files, safetensors and `.npz`, without PyTorch."""

from convcore.io.formats import load, save
from convcore.io.safetensors_file import is_safetensors, load_file, read_metadata, save_file
from convcore.io.state_dict import find_state_dict

__all__ = ["find_state_dict", "is_safetensors", "load", "load_file", "read_metadata", "save", "save_file"]
