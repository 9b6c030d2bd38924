"""Training: the loop, its checkpoints, and the recipe behind `convcore train`."""

from convcore.training.checkpoint import load_checkpoint, load_progress, save_checkpoint
from convcore.training.recipe import Settings, prepare, read_data
from convcore.training.trainer import Trainer, evaluate
from convcore.training.warmup import warm_up

__all__ = [
    "Settings",
    "Trainer",
    "evaluate",
    "load_checkpoint",
    "load_progress",
    "prepare",
    "read_data",
    "save_checkpoint",
    "warm_up",
]
