"""Learning-rate schedules against torch, step by step."""

import copy
import json

import pytest
import torch

import convcore as cc
from convcore import nn, optim
from convcore.optim import lr_scheduler

SCHEDULES = [
    ("StepLR", {"step_size": 3, "gamma": 0.5}, "SGD", 10),
    ("StepLR", {"step_size": 1}, "Adam", 5),
    ("CosineAnnealingLR", {"T_max": 8}, "SGD", 20),
    ("CosineAnnealingLR", {"T_max": 5, "eta_min": 0.01}, "Adam", 5),
    ("OneCycleLR", {"max_lr": 2.0, "total_steps": 17}, "SGD", 17),
    ("OneCycleLR", {"max_lr": 2.0, "epochs": 4, "steps_per_epoch": 5}, "Adam", 20),
    ("OneCycleLR", {"max_lr": [2.0, 0.1], "total_steps": 30, "three_phase": True}, "SGD", 30),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 12, "anneal_strategy": "linear", "pct_start": 0.4}, "AdamW", 12),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 12, "cycle_momentum": False, "div_factor": 4.0}, "Adam", 12),
    (
        "OneCycleLR",
        {
            "max_lr": 1.0, "total_steps": 12, "base_momentum": [0.7, 0.8], "max_momentum": 0.9,
            "final_div_factor": 10.0, "anneal_strategy": "linear", "three_phase": True,
        },
        "SGD", 12,
    ),
]  # fmt: skip


def optimizers(name):
    settings = {"lr": 0.3} | ({"momentum": 0.9} if name == "SGD" else {})
    ours = [{"params": [nn.Parameter(cc.ones(1))]}, {"params": [nn.Parameter(cc.ones(1))], "lr": 0.7}]
    theirs = [
        {"params": [torch.nn.Parameter(torch.ones(1))]},
        {"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.7},
    ]
    return getattr(optim, name)(ours, **settings), getattr(torch.optim, name)(theirs, **settings)


def rates(optimizer):
    return [(group["lr"], group.get("momentum", group.get("betas"))) for group in optimizer.param_groups]


def flat(values):
    return [x for lr, momentum in values for x in (lr, *(momentum if isinstance(momentum, tuple) else (momentum,)))]


@pytest.mark.parametrize(("name", "settings", "optimizer_name", "steps"), SCHEDULES)
def test_schedule_as_torchs(name, settings, optimizer_name, steps):
    optimizer, twin_optimizer = optimizers(optimizer_name)
    scheduler = getattr(lr_scheduler, name)(optimizer, **settings)
    twin = getattr(torch.optim.lr_scheduler, name)(twin_optimizer, **settings)
    for _ in range(steps):
        assert flat(rates(optimizer)) == pytest.approx(flat(rates(twin_optimizer)), rel=1e-12, abs=1e-15)
        assert scheduler.get_last_lr() == [group["lr"] for group in optimizer.param_groups]
        assert scheduler.last_epoch == twin.last_epoch
        optimizer.step()
        twin_optimizer.step()
        scheduler.step()
        twin.step()
    assert scheduler.base_lrs == pytest.approx(twin.base_lrs)


@pytest.mark.parametrize(("name", "settings", "optimizer_name", "steps"), SCHEDULES)
def test_going_on_from_a_state_dict(name, settings, optimizer_name, steps):
    def run(halt):
        optimizer, _ = optimizers(optimizer_name)
        scheduler = getattr(lr_scheduler, name)(optimizer, **settings)
        seen = []
        for step in range(steps):
            if step == halt:
                state, optimizer_state = json.loads(json.dumps(scheduler.state_dict())), optimizer.state_dict()
                optimizer, _ = optimizers(optimizer_name)
                scheduler = getattr(lr_scheduler, name)(optimizer, **settings)
                optimizer.load_state_dict(copy.deepcopy(optimizer_state))
                scheduler.load_state_dict(state)
                optimizer.step()
            seen.append(flat(rates(optimizer)))
            optimizer.step()
            scheduler.step()
        return seen

    assert run(halt=4) == run(halt=None)


def test_resuming_by_last_epoch():
    optimizer, twin_optimizer = optimizers("SGD")
    for group, twin_group in zip(optimizer.param_groups, twin_optimizer.param_groups, strict=True):
        group["initial_lr"] = twin_group["initial_lr"] = 0.3
    scheduler = lr_scheduler.CosineAnnealingLR(optimizer, 10, last_epoch=3)
    assert scheduler.last_epoch == 4
    assert scheduler.get_last_lr()[0] == pytest.approx(0.3 * 0.6545084971874737)
    with pytest.raises(KeyError, match=r"param_groups\[0\] has no 'initial_lr'"):
        lr_scheduler.StepLR(optimizers("SGD")[0], 3, last_epoch=2)


def test_stepping_before_the_optimizer_warns():
    optimizer, _ = optimizers("SGD")
    scheduler = lr_scheduler.StepLR(optimizer, 2)
    with pytest.warns(UserWarning, match="called before optimizer.step"):
        scheduler.step()


def test_one_step_too_many():
    optimizer, _ = optimizers("SGD")
    scheduler = lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=2)
    optimizer.step()
    scheduler.step()
    scheduler.step()
    with pytest.raises(ValueError, match="Tried to step 3 times"):
        scheduler.step()


def test_a_rise_of_one_step():
    """pct_start * total_steps = 1: the first rate is the highest, where torch divides by zero."""
    optimizer, _ = optimizers("SGD")
    assert lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=4, pct_start=0.25).get_last_lr() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "You must define either total_steps OR"),
        ({"epochs": 3}, "You must define either total_steps OR"),
        ({"total_steps": 0}, "Expected positive integer total_steps, but got 0"),
        ({"epochs": 2.5, "steps_per_epoch": 3}, "Expected positive integer epochs, but got 2.5"),
        ({"total_steps": 5, "pct_start": 1.5}, "Expected float between 0 and 1 pct_start, but got 1.5"),
        ({"total_steps": 5, "anneal_strategy": "sine"}, "anneal_strategy must be one of 'cos' or 'linear'"),
        ({"total_steps": 5, "max_lr": [1.0]}, "max_lr has 1 values, param_groups has 2"),
    ],
)
def test_wrong_settings_of_one_cycle(settings, message):
    with pytest.raises(ValueError, match=message):
        lr_scheduler.OneCycleLR(optimizers("SGD")[0], **{"max_lr": 1.0} | settings)


def test_what_is_no_optimizer():
    with pytest.raises(TypeError, match="OneCycleLR: int is not an Optimizer"):
        lr_scheduler.OneCycleLR(3, 1.0, 5)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="StepLR: int is not an Optimizer"):
        lr_scheduler.StepLR(3, 1)  # pyright: ignore[reportArgumentType]


def test_momentum_to_cycle_is_needed():
    class Plain(optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.1})

    with pytest.raises(ValueError, match="optimizer must support momentum or beta1"):
        lr_scheduler.OneCycleLR(Plain([nn.Parameter(cc.ones(1))]), 1.0, 5)
