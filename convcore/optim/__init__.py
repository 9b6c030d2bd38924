"""Optimizers and learning-rate schedules, with torch's names."""

from convcore.optim import lr_scheduler
from convcore.optim.adam import Adam, AdamW
from convcore.optim.optimizer import Optimizer
from convcore.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler"]
