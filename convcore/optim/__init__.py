"""Optimizers and learning-rate schedules, with torch's names."""

from convcore.optim import lr_scheduler
from convcore.optim.adadelta import Adadelta
from convcore.optim.adagrad import Adagrad
from convcore.optim.adam import Adam, AdamW
from convcore.optim.adamax import Adamax
from convcore.optim.nadam import NAdam
from convcore.optim.optimizer import Optimizer
from convcore.optim.radam import RAdam
from convcore.optim.rmsprop import RMSprop
from convcore.optim.rprop import Rprop
from convcore.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "lr_scheduler",
]
