"""A short run of the random programs in every test run, and checks that what is wrong is found and made small."""

import itertools
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

import programs
from random_programs import compare, compiled, shrink
from random_programs.source import Outcome, Program, run
from random_programs.writer import AbandonedError, Writer

import convcore


@pytest.fixture(autouse=True)
def _one_thread():
    """Threads of torch gain nothing on tensors of this size."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def told(difference):
    """A difference that must be there."""
    assert difference is not None
    return difference


def failures(kind, count, counts=None):
    """The first programs that fail, as text."""
    findings = (programs.check(kind, seed, counts) for seed in range(count))
    return "\n\n".join(map(str, itertools.islice(filter(None, findings), 3)))


def test_training_is_torchs():
    assert failures("training", 30) == ""


def test_inference_with_changes_is_torchs():
    assert failures("inference", 60) == ""


def test_compiled_models_give_the_bits_of_the_plain_ones():
    counts = Counter()
    assert failures("compiled", 100, counts) == ""
    assert counts["compiled"] > 20, "nearly all models are evaluated as they are: little is compared"


@pytest.mark.parametrize("kind", programs.KINDS)
def test_a_seed_makes_the_same_program(kind):
    first, second, other = (programs.written(kind, seed) for seed in (5, 5, 6))
    assert first == second
    assert first != other
    assert len(first.lines) > 5


NETWORK = Program(
    (
        "x = numbers(1, 2, 3)",
        "x = x * 1",
        "net = fill(nn.Linear(3, 2), 1)",
        "opt = optim.SGD(net.parameters(), lr=0.1)",
        "see('x', x)",
        "net(x).sum().backward()",
        "with lib.no_grad():",
        "    net.weight.mul_(2)",
        "opt.step()",
        "see('net', net)",
    )
)


def test_a_wrong_result_is_found_and_made_small(monkeypatch):
    """An optimiser that steps too far: what is left are the lines without which this is not seen."""
    assert programs.judge("training", NETWORK) is None
    step = convcore.optim.SGD.step
    monkeypatch.setattr(convcore.optim.SGD, "step", lambda self: (step(self), step(self))[0])
    difference = told(programs.judge("training", NETWORK))
    assert difference.kind == "value"
    assert difference.text.startswith("1 net.weight: off by 0.")
    small = shrink.shrunk(NETWORK, lambda program: programs.judge("training", program) is not None)
    assert small.lines == tuple(NETWORK.lines[place] for place in (0, 2, 3, 5, 8, 9))


def test_a_stale_result_is_found(monkeypatch):
    """Filters that are kept although they have changed."""
    source = (
        "x = numbers(1, 1, 8, 12, 12)",
        "net = fill(nn.Conv2d(8, 16, 3), 1)",
        "see('y', net(x))",
        "net.weight.mul_(2)",
        "see('y', net(x))",
    )
    program = Program(source, "float32", records=False)
    assert programs.judge("inference", program) is None
    monkeypatch.setattr(convcore.Tensor, "mark_changed", lambda self: None)
    assert told(programs.judge("inference", program)).text.startswith("1 y: off by")


def test_a_wrong_list_of_a_compiled_model_is_found(monkeypatch):
    """A compiled model that always gives what it gave first."""

    class Frozen(convcore.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model, self.first = model, None

        def forward(self, *args):
            self.first = self.model(*args) if self.first is None else self.first
            return self.first

    monkeypatch.setattr(convcore, "compile", Frozen)
    assert any(programs.check("compiled", seed) is not None for seed in range(5))


def outcome(warned=(), **seen):
    return Outcome({name: np.asarray(array) for name, array in seen.items()}, warned=list(warned))


def test_bits_shapes_and_types_are_compared():
    right = outcome(y=[1.0, np.nan])
    assert compare.same_bits(outcome(y=[1.0, np.nan]), right) is None
    for wrong, kind in (
        ([np.nextafter(1.0, 2), np.nan], "bits"),
        ([[1.0, np.nan]], "form"),
        (np.ones(2, "f4"), "form"),
    ):
        assert told(compare.same_bits(outcome(y=wrong), right)).kind == kind
    assert told(compare.same_bits(outcome(), right)).text == "y is not seen in the compiled run"
    assert told(compare.same_bits(Outcome(error=ValueError("no")), right)).text == "compiled only: ValueError: no"


def test_rounding_is_allowed_and_nothing_else():
    program = Program(("see('y', numbers(1, 4).exp())",))
    exact = run(program, convcore)
    for factor, is_right in ((1 + 1e-12, True), (1 + 1e-7, False), (np.nan, False)):
        changed = Outcome({name: np.asarray(array) * factor for name, array in exact.seen.items()})
        assert (compare.with_torch(program, changed) is None) == is_right


def test_what_noise_moves_as_far_is_allowed():
    """The last bits of a difference that is zero but for rounding."""
    program = Program(("x = numbers(1, 4)", "see('y', (x * 3.0 - x - x - x) * 1e15)"))
    noise = Outcome({"0 y": np.random.default_rng(0).standard_normal(4)})
    assert compare.with_torch(program, noise) is None


def test_an_error_of_one_library_is_told():
    program = Program(("x = numbers(1, 4)", "y = x.reshape(2, 2)", "see('y', lib.made_up)"))
    assert compare.with_torch(program, run(program, convcore)) is None  # torch refuses it, too
    wrong = Outcome(error=ValueError("no"), line=2)
    difference = told(compare.with_torch(Program(program.lines[:2]), wrong))
    assert (difference.kind, difference.text) == ("error ValueError", "line 2: ValueError: no")


def test_known_differences_are_counted_and_not_reported(monkeypatch):
    lines = ("x = numbers(1, 4).requires_grad_(True)", "y = x * 1", "z = y[:2]", "z += 1")
    monkeypatch.setattr(programs, "written", lambda kind, seed: Program(lines))
    counts = Counter()
    assert programs.check("training", 0, counts) is None
    assert counts == {"known: changes of views are refused, as documented": 1}


def test_warnings_of_a_compiled_model_come_once():
    program, plain = Program(("m = compile(net)",)), outcome()
    once, twice = outcome(["compile: why"]), outcome(["compile: why", "compile: why"])
    assert compiled.wrong_warnings(program, once, plain) is None
    assert "warned 2 times" in told(compiled.wrong_warnings(program, twice, plain)).text
    assert "warns: other" in told(compiled.wrong_warnings(program, outcome(["other"]), plain)).text


def test_a_line_that_torch_refuses_is_left_out():
    w = Writer((1,), "float32")
    assert w.add("x = numbers(1, 2)")
    assert not w.add("y = x.reshape(7)")
    assert w.program() == Program(("x = numbers(1, 2)",), "float32")
    with pytest.raises(AbandonedError):
        w.need("y = x.reshape(7)")


def test_a_block_goes_with_the_line_that_opens_it():
    program = Program(("a = 1", "with lib.no_grad():", "    b = 2", "c = 3"))
    tried = []
    assert shrink.shrunk(program, lambda p: tried.append(p.lines) or "c = 3" in p.lines).lines == ("c = 3",)
    assert ("a = 1", "with lib.no_grad():", "c = 3") not in tried


def test_the_command(capsys):
    assert programs.main(["--kind", "inference", "--programs", "2", "--seed", "3"]) == 0
    assert "inference: 2 programs" in capsys.readouterr().out
    assert programs.main(["--kind", "training", "--programs", "1", "--show"]) == 0
    assert "# training 0\nclass Kept" in capsys.readouterr().out
