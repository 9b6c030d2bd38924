"""Training: the loop, its checkpoints, and the recipes behind `convcore train` and `convcore finetune`.

trainer            the loop
recipe, finetune   what the two commands train, and how
checkpoint         everything that the rest of a run depends on, in one file
run_lock           one run at a time in a folder
freezing           a part of a network that is not trained
warmup             kernels compiled ahead
"""

from convcore.training.checkpoint import load_checkpoint, load_progress, save_checkpoint
from convcore.training.finetune import FinetuneSettings, Finetuning
from convcore.training.freezing import train_unfrozen
from convcore.training.recipe import Settings, prepare, read_data
from convcore.training.trainer import Trainer, evaluate, score_of
from convcore.training.warmup import warm_up

__all__ = [
    "FinetuneSettings",
    "Finetuning",
    "Settings",
    "Trainer",
    "evaluate",
    "load_checkpoint",
    "load_progress",
    "prepare",
    "read_data",
    "save_checkpoint",
    "score_of",
    "train_unfrozen",
    "warm_up",
]
