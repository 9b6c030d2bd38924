"""`torch.utils.data.dataloader`: the loader and its collate functions."""

from convcore.data import DataLoader, default_collate, default_convert, get_worker_info

__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]
