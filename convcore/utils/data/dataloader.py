"""`torch.utils.data.dataloader`: the loader and what makes its batches."""

from convcore.data import DataLoader, default_collate, default_convert, get_worker_info

__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]
