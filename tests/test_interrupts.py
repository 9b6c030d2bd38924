"""Ctrl-C at any place: caches and counts stay right, nothing fails afterwards, and no interrupt is lost.

An exception is raised at each place in the modules that keep state where the state may be another than at the last one.
"""

import dis
import functools
import gc
import itertools
import sys
from types import CodeType
from typing import Any

import numpy as np
import pytest

import convcore
from convcore import memory, nn
from convcore.autograd import lazy, variable
from convcore.engine import memory_watch
from convcore.nn import functional as F
from convcore.nn.compiling import compiled as compiled_models
from convcore.ops.conv import far as conv_far
from convcore.ops.conv import geometry
from convcore.ops.core import filters, weight_cache
from convcore.ops.pool import geometry as pools

pytestmark = pytest.mark.slow

KEEPERS = {
    module.__file__
    for module in (weight_cache, memory, memory_watch, lazy, variable, filters, geometry, pools, conv_far)
}


# Bytecodes that only put something onto the stack or choose the next bytecode: an interrupt before or after one of
# them finds the same state. What a property does is seen in its own frame.
CHANGES_NOTHING = ("LOAD_", "COPY", "SWAP", "DUP_", "ROT_", "PUSH_NULL", "PRECALL", "KW_NAMES", "IS_OP", "POP_JUMP_")


@functools.cache
def places(code: CodeType) -> frozenset[int]:
    """The bytecodes before which an interrupt may find another state, or other handlers, than before the last one."""
    found, last = {offset for offset, _ in dis.findlinestarts(code)}, ""
    for instruction in dis.get_instructions(code):
        if instruction.is_jump_target or not last.startswith(CHANGES_NOTHING):
            found.add(instruction.offset)
        last = instruction.opname
    return frozenset(found)


def interrupted_at(place: int, action: Any, files: set[Any] = KEEPERS) -> bool:
    """Run `action`, interrupted at that place in these files; whether it came so far."""
    counter = itertools.count()
    came = False

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal came
        if frame.f_code.co_filename not in files:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode" and frame.f_lasti in places(frame.f_code) and next(counter) == place:
            came = True
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    except KeyboardInterrupt:
        pass
    else:
        assert not came, "the interrupt was lost"
    finally:
        sys.settrace(before)
    return came


@pytest.fixture(autouse=True)
def lost(monkeypatch):
    """What was raised where nobody could catch it."""
    found: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", found.append)
    yield found
    assert not found


def assert_counts_are_possible():
    gc.collect()
    kept, blocks = weight_cache.stats(), memory.stats()
    assert kept["bytes"] >= kept["entries"] * weight_cache.OVERHEAD
    assert 0 <= blocks["used"] <= blocks["peak"]
    assert blocks["idle"] >= 0


STEPS = {
    "filters are packed again": lambda x, weight: [weight.mul_(-1.5), F.conv2d(x, weight, padding=1)],
    "one tensor is freed, another made": lambda x, weight: [x + 1, x * 2],
    "a view and an array come and go": lambda x, weight: [weight[:2].numpy(), weight.view(-1), F.conv2d(x, weight)],
    "a result waits": lambda x, weight: [F.relu(F.conv2d(x, weight)), weight.add_(0.5)],
    "caches are cleared": lambda x, weight: [F.conv2d(x, weight), weight_cache.clear(), memory.clear()],
    "pooling": lambda x, weight: [F.max_pool2d(x, 3, 2)],
}  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_results_stay_right_wherever_a_step_is_interrupted(name):
    rng = np.random.default_rng(0)
    x = convcore.tensor(rng.standard_normal((1, 16, 20, 20)).astype(np.float32))
    weight = convcore.tensor(rng.standard_normal((16, 16, 3, 3)).astype(np.float32))
    with convcore.no_grad():
        STEPS[name](x, weight)
        for place in range(100_000):
            came = interrupted_at(place, lambda: STEPS[name](x, weight))
            with convcore.no_grad():
                np.testing.assert_array_equal(F.conv2d(x, weight).numpy(), F.conv2d(x, weight.clone()).numpy())
            if place % 50 == 0:
                assert_counts_are_possible()
            if not came:
                break
        assert place > 100
        for other in STEPS.values():  # none of them is out of order
            other(x, weight)
    assert_counts_are_possible()


def test_what_is_kept_beyond_the_limit_goes_after_interrupts_too(monkeypatch):
    monkeypatch.setattr(weight_cache, "LIMIT", 40 * 1024)
    x, weights = convcore.randn(1, 8, 6, 6), [convcore.randn(8, 8, 3, 3) for _ in range(12)]

    def step():
        for weight in weights:
            F.conv2d(x, weight).numpy()

    with convcore.no_grad():
        for place in range(0, 3000, 7):
            interrupted_at(place, step)
        step()
        assert weight_cache.stats()["bytes"] <= weight_cache.LIMIT
    weights.clear()
    gc.collect()


def test_an_interrupt_while_an_array_ends_is_not_lost():
    """What runs when arrays, entries, exposures and views end is C code: there is no bytecode to interrupt."""
    x = convcore.randn(64, 128)
    weight = convcore.randn(16, 16, 3, 3)
    held = [x + 1, weight.numpy(), weight[0]]
    used = memory.stats()["used"]
    assert not interrupted_at(0, held.clear)
    assert memory.stats()["used"] < used


def test_compiled_models_are_never_stale_after_an_interrupt():
    model = nn.Conv2d(16, 16, 3).eval()
    compiled, x = convcore.compile(model), convcore.randn(1, 16, 6, 6)

    def step():
        model.weight.mul_(-1.5)
        compiled(x)

    with convcore.no_grad():
        for place in range(10_000):
            convcore.clear_caches()
            for _ in range(2):
                compiled(x)
            came = interrupted_at(place, step, {compiled_models.__file__})
            np.testing.assert_array_equal(compiled(x).numpy(), model(x).numpy())
            if not came:
                break
        assert place > 50
