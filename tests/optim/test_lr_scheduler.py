"""Learning-rate schedules against torch, step by step."""

import copy
import json
from typing import Any

import pytest
import torch

import convcore as cc
from convcore import nn, optim
from convcore.optim import lr_scheduler

WRONG: Any = 3  # neither a function nor a schedule
SCHEDULES = [
    ("MultiStepLR", {"milestones": [7, 2, 4, 4], "gamma": 0.5}, "SGD", 9),
    ("ConstantLR", {"factor": 0.25, "total_iters": 4}, "SGD", 7),
    ("ConstantLR", {}, "Adam", 7),
    ("LinearLR", {}, "SGD", 8),
    ("LinearLR", {"start_factor": 1.0, "end_factor": 0.0, "total_iters": 6}, "Adam", 8),
    ("ExponentialLR", {"gamma": 0.9}, "SGD", 30),
    ("PolynomialLR", {}, "SGD", 8),
    ("PolynomialLR", {"total_iters": 9, "power": 2.5}, "Adam", 12),
    ("CosineAnnealingWarmRestarts", {"T_0": 3}, "SGD", 10),
    ("CosineAnnealingWarmRestarts", {"T_0": 2, "T_mult": 3, "eta_min": 0.05}, "Adam", 30),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 0.5, "step_size_up": 4}, "SGD", 20),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": [0.5, 1.0], "step_size_up": 3, "step_size_down": 5, "mode": "triangular2"},
     "Adam", 30),
    ("CyclicLR", {"base_lr": [0.1, 0.2], "max_lr": 0.5, "step_size_up": 4, "mode": "exp_range", "gamma": 0.9,
     "base_momentum": 0.6, "max_momentum": 0.95}, "SGD", 20),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 0.5, "step_size_up": 2, "cycle_momentum": False}, "Adam", 9),
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


@pytest.mark.parametrize(
    ("name", "settings", "optimizer_name", "steps"),
    [schedule for schedule in SCHEDULES if schedule[0] not in {"CosineAnnealingWarmRestarts", "OneCycleLR"}],
)
def test_resuming_by_last_epoch(name, settings, optimizer_name, steps):
    """The rate in use is the group's, the one before the schedule its "initial_lr"."""
    optimizer, twin_optimizer = optimizers(optimizer_name)
    for group, twin_group in zip(optimizer.param_groups, twin_optimizer.param_groups, strict=True):
        group["initial_lr"] = twin_group["initial_lr"] = 1.5
    scheduler = getattr(lr_scheduler, name)(optimizer, last_epoch=3, **settings)
    twin = getattr(torch.optim.lr_scheduler, name)(twin_optimizer, last_epoch=3, **settings)
    for _ in range(3):
        assert scheduler.last_epoch == twin.last_epoch
        assert scheduler.get_last_lr() == pytest.approx(twin.get_last_lr(), rel=1e-12, abs=1e-15)
        for step in (optimizer, twin_optimizer, scheduler, twin):
            step.step()


def test_resuming_needs_the_first_rate():
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


FUNCTIONS = [
    ("LambdaLR", {"lr_lambda": lambda t: 0.9**t}),
    ("LambdaLR", {"lr_lambda": [lambda t: 1 / (1 + t), lambda t: t % 3]}),
    ("MultiplicativeLR", {"lr_lambda": lambda t: 1 - 0.1 * (t % 2)}),
    ("MultiplicativeLR", {"lr_lambda": [lambda _: 0.5, lambda _: 1.1]}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 0.5, "step_size_up": 2, "scale_fn": lambda c: 1 / c}),
    (
        "CyclicLR",
        {"base_lr": 0.1, "max_lr": 0.5, "step_size_up": 2, "scale_fn": lambda i: 0.9**i, "scale_mode": "iterations"},
    ),
]


@pytest.mark.parametrize(("name", "settings"), FUNCTIONS)
def test_schedules_of_functions_as_torchs(name, settings):
    follow(
        lambda optimizer: getattr(lr_scheduler, name)(optimizer, **settings),
        lambda optimizer: getattr(torch.optim.lr_scheduler, name)(optimizer, **settings),
        steps=12,
    )


def follow(ours, theirs, steps, name="SGD"):
    """Step a schedule and torch's side by side."""
    optimizer, twin_optimizer = optimizers(name)
    scheduler, twin = ours(optimizer), theirs(twin_optimizer)
    for _ in range(steps):
        assert flat(rates(optimizer)) == pytest.approx(flat(rates(twin_optimizer)), rel=1e-12, abs=1e-15)
        assert scheduler.get_last_lr() == pytest.approx(twin.get_last_lr(), rel=1e-12, abs=1e-15)
        for step in (optimizer, twin_optimizer, scheduler, twin):
            step.step()


def compositions(s):
    """Schedules of schedules, of the module `s`: ours or torch's."""

    def sequence(o, *parts, milestones):
        return s.SequentialLR(o, [part(o) for part in parts], milestones=milestones)

    def warm_up(o):
        return s.LinearLR(o, start_factor=0.1, total_iters=3)

    return {
        "warm-up, then cosine": lambda o: sequence(o, warm_up, lambda o: s.CosineAnnealingLR(o, 5), milestones=[3]),
        "three, the first at once": lambda o: sequence(
            o, warm_up, lambda o: s.ExponentialLR(o, 0.8), lambda o: s.StepLR(o, 2), milestones=[0, 4]
        ),
        "constant, cycle": lambda o: sequence(
            o,
            lambda o: s.ConstantLR(o, 0.5, total_iters=2),
            lambda o: s.OneCycleLR(o, 1.0, total_steps=20),
            milestones=[5],
        ),
        "polynomial, many steps": lambda o: sequence(
            o, lambda o: s.PolynomialLR(o, 4), lambda o: s.MultiStepLR(o, [1, 3]), milestones=[4]
        ),
        "function, restarts": lambda o: sequence(
            o, lambda o: s.LambdaLR(o, lambda t: 0.5**t), lambda o: s.CosineAnnealingWarmRestarts(o, 3), milestones=[4]
        ),
        "chain": lambda o: s.ChainedScheduler([s.ConstantLR(o, 0.1, total_iters=2), s.ExponentialLR(o, gamma=0.9)]),
        "chain of three": lambda o: s.ChainedScheduler(
            [s.LinearLR(o), s.CosineAnnealingLR(o, 6), s.MultiplicativeLR(o, lambda t: 1 + 0.01 * t)], optimizer=o
        ),
    }


@pytest.mark.parametrize("name", compositions(lr_scheduler))
def test_compositions_as_torchs(name):
    follow(compositions(lr_scheduler)[name], compositions(torch.optim.lr_scheduler)[name], steps=12)


@pytest.mark.parametrize("name", compositions(lr_scheduler))
def test_going_on_with_a_composition(name):
    def run(halt):
        optimizer, _ = optimizers("SGD")
        scheduler, seen = compositions(lr_scheduler)[name](optimizer), []
        for step in range(10):
            if step == halt:
                state, optimizer_state = copy.deepcopy((scheduler.state_dict(), optimizer.state_dict()))
                optimizer, _ = optimizers("SGD")
                scheduler = compositions(lr_scheduler)[name](optimizer)
                optimizer.load_state_dict(optimizer_state)
                scheduler.load_state_dict(state)
            seen.append(flat(rates(optimizer)))
            optimizer.step()
            scheduler.step()
        return seen

    assert run(halt=6) == run(halt=None)


def test_compositions_of_compositions():
    """A sequence of a sequence is one sequence; a chain may take over from another schedule. torch does neither."""

    def warm_up(optimizer):
        return lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=3)

    def decay(optimizer):
        return lr_scheduler.ExponentialLR(optimizer, 0.7)

    def steps(optimizer):
        return lr_scheduler.StepLR(optimizer, 2)

    def seen(make):
        optimizer, _ = optimizers("SGD")
        scheduler, seen = make(optimizer), []
        for _ in range(12):
            seen.append(flat(rates(optimizer)))
            optimizer.step()
            scheduler.step()
        return seen

    def sequence(optimizer, *parts):
        return lr_scheduler.SequentialLR(optimizer, list(parts[::2]), milestones=list(parts[1::2]))

    whole = seen(lambda o: sequence(o, warm_up(o), 3, decay(o), 7, steps(o)))
    assert seen(lambda o: sequence(o, sequence(o, warm_up(o), 3, decay(o)), 7, steps(o))) == whole
    assert seen(lambda o: sequence(o, warm_up(o), 3, sequence(o, decay(o), 4, steps(o)))) == whole
    chain = seen(lambda o: sequence(o, steps(o), 4, lr_scheduler.ChainedScheduler([warm_up(o), decay(o)])))
    alone = seen(lambda o: lr_scheduler.ChainedScheduler([warm_up(o), decay(o)]))
    assert chain[4:] == alone[:8]


def test_functions_with_attributes_are_saved():
    class Decay:
        def __init__(self, gamma):
            self.gamma = gamma

        def __call__(self, t):
            return self.gamma**t

    scheduler = lr_scheduler.LambdaLR(optimizers("SGD")[0], [Decay(0.5), lambda t: 1.0])
    state = scheduler.state_dict()
    assert state["lr_lambdas"] == [{"gamma": 0.5}, None]
    other = lr_scheduler.LambdaLR(optimizers("SGD")[0], [Decay(0.1), lambda t: 1.0])
    other.load_state_dict(state)
    assert other.lr_lambdas[0].gamma == 0.5
    cyclic = lr_scheduler.CyclicLR(optimizers("SGD")[0], 0.1, 0.2, scale_fn=Decay(0.3))
    other = lr_scheduler.CyclicLR(optimizers("SGD")[0], 0.1, 0.2, scale_fn=Decay(0.6))
    other.load_state_dict(cyclic.state_dict())
    assert getattr(other.scale_fn, "gamma", None) == 0.3


def test_restarts_at_a_fraction_of_an_epoch():
    for settings in ({"T_0": 3}, {"T_0": 2, "T_mult": 2, "eta_min": 0.01}):
        optimizer, twin_optimizer = optimizers("SGD")
        scheduler = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, **settings)
        twin = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(twin_optimizer, **settings)
        optimizer.step()
        twin_optimizer.step()
        for epoch in (0, 0.25, 1.5, 2.75, 3, 5.5, 12.125, 4):
            scheduler.step(epoch)
            twin.step(epoch)  # pyright: ignore[reportArgumentType] - torch takes fractions too
            assert scheduler.get_last_lr() == pytest.approx(twin.get_last_lr(), rel=1e-12)
        with pytest.raises(ValueError, match="Expected non-negative epoch, but got -1"):
            scheduler.step(-1)


@pytest.mark.parametrize(
    "settings",
    [
        {"patience": 1},
        {"patience": 0, "factor": 0.5, "cooldown": 2, "min_lr": [0.1, 0.01]},
        {"mode": "max", "patience": 1, "threshold": 0.1},
        {"mode": "max", "patience": 2, "threshold": 0.1, "threshold_mode": "abs"},
        {"patience": 0, "threshold": 0.2, "threshold_mode": "abs", "eps": 0.05},
    ],
)
def test_plateau_as_torchs(settings):
    optimizer, twin_optimizer = optimizers("SGD")
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, **settings)
    twin = torch.optim.lr_scheduler.ReduceLROnPlateau(twin_optimizer, **settings)
    measures = [3.0, 2.5, 2.6, 2.4, 2.35, 2.34, 2.33, 4.0, 4.5, float("nan"), 1.0, 1.0, 1.0, 0.99, 5.5]
    for index, measure in enumerate(measures):
        if index == 7:
            state = json.loads(json.dumps(scheduler.state_dict()))
            scheduler = lr_scheduler.ReduceLROnPlateau(optimizer)
            scheduler.load_state_dict(state)
        scheduler.step(cc.tensor(measure) if index % 2 else measure)
        twin.step(measure)
        assert scheduler.get_last_lr() == pytest.approx(twin.get_last_lr(), rel=1e-12)
        assert (scheduler.num_bad_epochs, scheduler.in_cooldown) == (twin.num_bad_epochs, twin.in_cooldown)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda o: lr_scheduler.ConstantLR(o, factor=1.5), ValueError, "expected to be between 0 and 1.*got 1.5"),
        (lambda o: lr_scheduler.LinearLR(o, start_factor=0), ValueError, "Starting multiplicative factor.*got 0"),
        (lambda o: lr_scheduler.LinearLR(o, end_factor=2), ValueError, "Ending multiplicative factor.*got 2"),
        (lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 0), ValueError, "positive integer T_0, but got 0"),
        (lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 1, 0), ValueError, "integer T_mult >= 1, but got 0"),
        (lambda o: lr_scheduler.LambdaLR(o, [abs]), ValueError, "lr_lambda has 1 values, param_groups has 2"),
        (
            lambda o: lr_scheduler.MultiplicativeLR(o, WRONG),
            TypeError,
            "lr_lambda should be a function, but got int",
        ),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=1), ValueError, "Factor should be < 1.0; got 1"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, mode="low"), ValueError, "mode 'low' is unknown"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, threshold_mode="x"), ValueError, "threshold mode 'x' is unknown"),
        (lambda o: lr_scheduler.CyclicLR(o, 0.1, 1, mode="x"), ValueError, "mode is invalid and scale_fn is None"),
        (lambda o: lr_scheduler.CyclicLR(o, 0.1, 1, scale_mode="x"), ValueError, "scale_mode must be 'cycle' or"),
        (lambda o: lr_scheduler.CyclicLR(o, 0.1, 1, step_size_up=0), ValueError, "above 0, got 0 up and 0 down"),
        (lambda o: lr_scheduler.SequentialLR(o, [], []), ValueError, "expects at least one scheduler"),
        (
            lambda o: lr_scheduler.SequentialLR(o, [WRONG], []),
            TypeError,
            "expects schedulers, but got int at index 0",
        ),
        (
            lambda o: lr_scheduler.ChainedScheduler([lr_scheduler.ReduceLROnPlateau(o)]),
            ValueError,
            "does not support `ReduceLROnPlateau`",
        ),
        (
            lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.StepLR(o, 1)], [2]),
            ValueError,
            "got 1 schedulers and 1 milestones",
        ),
        (
            lambda o: lr_scheduler.ChainedScheduler([lr_scheduler.StepLR(optimizers("SGD")[0], 1)], o),
            ValueError,
            "the same optimizer, but the one at index 0",
        ),
    ],
)
def test_wrong_settings(make, error, message):
    with pytest.raises(error, match=message):
        make(optimizers("SGD")[0])
