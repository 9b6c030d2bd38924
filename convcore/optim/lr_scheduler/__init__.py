"""Learning-rate schedules: each `step()` sets the rate of every parameter group as a function of the steps so far."""

from convcore.optim.lr_scheduler.base import LRScheduler
from convcore.optim.lr_scheduler.composed import ChainedScheduler, SequentialLR
from convcore.optim.lr_scheduler.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from convcore.optim.lr_scheduler.cyclic import CyclicLR, OneCycleLR
from convcore.optim.lr_scheduler.multiplied import (
    ConstantLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from convcore.optim.lr_scheduler.plateau import ReduceLROnPlateau

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
