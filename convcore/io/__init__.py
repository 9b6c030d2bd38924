"""Reading and writing weights."""

from convcore.io.checkpoint import load_file, read_metadata, save_file

__all__ = ["load_file", "read_metadata", "save_file"]
