"""Reading and writing weights: PyTorch's files, safetensors and `.npz`, without PyTorch.

formats, foreign                     `load` and `save`: which format a file has, or why it has none
files                                opening and atomic replacing
state_dict                           the weights inside a training script's checkpoint
safetensors_file, npz, elements      the plain formats, and element types
torch_file, tar_file, torch_writer   PyTorch's formats
unpickler, machine, pickler          pickles without running code: reading, the stack machine, writing
torch_names                          all names that a pickle may use
"""

from convcore.io.formats import load, save
from convcore.io.safetensors_file import is_safetensors, load_file, read_metadata, save_file
from convcore.io.state_dict import find_state_dict

__all__ = ["find_state_dict", "is_safetensors", "load", "load_file", "read_metadata", "save", "save_file"]
