"""Random programs of operations, hooks, retained gradients, backward and grad, against torch.

Numbers are small integers in float64, so that both libraries must agree in every bit. Both logs must be the same: who
was called, in which order, with what. What hooks, Functions and users kept must have its numbers to the end.
"""

import random
from typing import Any

import numpy as np
import pytest
import torch

import convcore
from convcore.autograd.clear import clear_gradients

PROGRAMS = 200

OPERATIONS = {
    "mul": lambda lib, x, y: x * y,
    "add": lambda lib, x, y: x + y,
    "sub": lambda lib, x, y: x - y,
    "twice": lambda lib, x, y: x + x,
    "scale": lambda lib, x, y: x * 2,
    "square": lambda lib, x, y: x**2,
    "clone": lambda lib, x, y: x.clone(),
    "relu": lambda lib, x, y: x.relu(),
    "reshape": lambda lib, x, y: x.reshape(4).reshape(2, 2),
    "transpose": lambda lib, x, y: x.transpose(0, 1),
    "expand": lambda lib, x, y: x[0:1].expand(2, 2) * y,
    "parts": lambda lib, x, y: lib.stack([x.unbind(0)[1], x.unbind(0)[0] + y[0]]),
    "detach": lambda lib, x, y: x.detach() * y,
    "add in place": lambda lib, x, y: (x * 1).add_(y),
    "mul in place": lambda lib, x, y: (x + 0).mul_(y.detach() + 1),
}
SPECIAL = ["passes", "constant", "saved", "module"]
HOOKS = ["looks", "looks", "scales", "constant", "same", "view", "new", "removes itself", "removes all", "raises"]


def program(rng: random.Random) -> list[tuple[Any, ...]]:
    """Steps, as tuples of a name and what it needs; tensors are named by their number."""
    steps: list[tuple[Any, ...]] = [("leaf", [rng.randint(-3, 3) for _ in range(4)]) for _ in range(rng.randint(1, 3))]
    leaves = count = len(steps)
    for part in range(rng.randint(2, 4)):
        for _ in range(rng.randint(2, 7) if part == 0 else rng.randint(0, 3)):
            steps.append(("operation", rng.choice([*OPERATIONS, *SPECIAL]), rng.randrange(count), rng.randrange(count)))
            count += 1
            if rng.random() < 0.35:
                steps.append(("hook", rng.randrange(count), rng.choice(HOOKS)))
            if rng.random() < 0.2:
                steps.append(("retain", rng.randrange(count)))
        start = rng.randrange(max(0, count - 3), count)
        settings = {"retain_graph": rng.random() < 0.7, "create_graph": rng.random() < 0.2}
        if rng.random() < 0.6:
            steps.append(("backward", start, settings))
        else:
            steps.append(("grad", start, [rng.randrange(count) for _ in range(rng.randint(1, 3))], settings))
        if rng.random() < 0.5:
            change = rng.choice(["zero", "multiply", "freeze", "thaw", "forget", "differentiate"])
            steps.append((change, rng.randrange(leaves)))
    return steps


class Machine:
    """Runs a program in one of the libraries."""

    def __init__(self, library: Any):
        self.library = library
        self.tensors: list[Any] = []
        self.handles: list[Any] = []
        self.log: list[Any] = []
        self.kept: list[tuple[Any, np.ndarray]] = []
        self.refused: str | None = None
        self.functions = functions_of(library, self.keep)

    def tensor(self, numbers: Any, requires_grad: bool = False) -> Any:
        return self.library.tensor(numbers, dtype=self.library.float64, requires_grad=requires_grad)

    def keep(self, tensor: Any) -> Any:
        self.kept.append((tensor, tensor.detach().numpy().copy()))
        return tensor

    def run(self, steps: list[tuple[Any, ...]]) -> None:
        """Up to the first step that is refused; the log up to that step is in `self.log`."""
        for name, *given in steps:
            if name in ("backward", "grad"):
                before = len(self.log)
                try:
                    getattr(self, name)(*given)
                except (RuntimeError, ZeroDivisionError) as error:
                    del self.log[before:]
                    self.refused = str(error)
                    return
                self.log.append([number(t.grad) for t in self.tensors if t.requires_grad or t.is_leaf])
            elif name not in ("hook", "retain") or self.tensors[given[0]].requires_grad:
                getattr(self, name)(*given)

    def is_kept(self) -> bool:
        """Whether all that somebody kept has its numbers."""
        return all(np.array_equal(tensor.detach().numpy(), numbers) for tensor, numbers in self.kept)

    def leaf(self, numbers):
        self.tensors.append(self.tensor(np.reshape(numbers, (2, 2)).tolist(), requires_grad=True))

    def operation(self, name, first, second):
        x, y = self.tensors[first], self.tensors[second]
        if name in OPERATIONS:
            self.tensors.append(OPERATIONS[name](self.library, x, y))
        elif name == "module":
            module = self.library.nn.Identity()
            module.forward = lambda a, b: a + b
            module.register_full_backward_hook(lambda module, ins, outs: self.seen("full", *ins, *outs))
            module.register_full_backward_pre_hook(lambda module, outs: self.seen("pre", *outs))
            self.tensors.append(module(x, y))
        else:
            arguments = (x, y) if name == "saved" else (x,)
            self.tensors.append(self.functions[name].apply(*arguments))

    def seen(self, *what):
        self.log.append([w if isinstance(w, (str, int)) else number(w) for w in what])
        for tensor in what:
            if tensor is not None and not isinstance(tensor, (str, int)):
                self.keep(tensor)

    def hook(self, place, mode):
        own = len(self.handles)
        constant = self.keep(self.tensor([[float(own + 2)] * 2] * 2))

        def hook(gradient):
            if gradient is None:  # torch: of an output that nothing depends on
                return None
            self.seen(own, gradient)
            if mode == "removes itself":
                self.handles[own].remove()
            elif mode == "removes all":
                for handle in self.handles:
                    handle.remove()
            elif mode == "raises":
                raise ZeroDivisionError
            elif mode == "view":
                self.keep(gradient.reshape(-1)[1:])
            results = {"scales": lambda: gradient * 2, "constant": lambda: constant, "same": lambda: gradient}
            results["new"] = lambda: self.keep(gradient + 1)
            return results.get(mode, lambda: None)()

        self.handles.append(self.tensors[place].register_hook(hook))

    def retain(self, place):
        self.tensors[place].retain_grad()

    def backward(self, start, settings):
        seed = self.keep(self.tensor([[1.0, 2.0], [3.0, 4.0]]))
        self.tensors[start].backward(seed, **settings)

    def grad(self, start, inputs, settings):
        wanted = [self.tensors[i] for i in inputs]
        for found in self.library.autograd.grad(self.tensors[start].sum(), wanted, allow_unused=True, **settings):
            self.seen("result", found)

    def zero(self, place):
        tensor = self.tensors[place]
        if self.library is convcore:
            clear_gradients([tensor], set_to_none=False)
        elif tensor.grad is not None:
            tensor.grad = tensor.grad.detach().zero_()

    def multiply(self, place):
        if self.tensors[place].grad is not None:
            self.tensors[place].grad.detach().mul_(5)

    def freeze(self, place):
        self.tensors[place].requires_grad_(False)

    def thaw(self, place):
        self.tensors[place].requires_grad_(True)

    def forget(self, place):
        self.tensors[place].grad = None

    def differentiate(self, place):
        if self.tensors[place].grad is not None:
            self.tensors[-1] = self.tensors[-1] * self.tensors[place].grad


def functions_of(library: Any, keep: Any) -> dict[str, Any]:
    """Operations as a user writes them, whose gradients belong to others, too."""

    class Passes(library.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, grad_out):
            return keep(grad_out)

    class Constant(library.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.constant = keep(library.full((2, 2), 3.0, dtype=library.float64))
            return x * 3

        @staticmethod
        def backward(ctx, grad_out):
            return ctx.constant

    class Saved(library.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_backward(x, y)
            return x * y

        @staticmethod
        def backward(ctx, grad_out):
            x, y = ctx.saved_tensors
            return y, x

    return {"passes": Passes, "constant": Constant, "saved": Saved}


def number(tensor: Any) -> Any:
    return None if tensor is None else (tensor.detach().numpy() + 0.0).tolist()  # no -0.0


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True:UserWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("first", range(0, PROGRAMS, 50))
def test_random_programs_are_torchs(first):
    compared = 0
    for seed in range(first, first + 50):
        steps = program(random.Random(seed))
        ours, theirs = Machine(convcore), Machine(torch)
        theirs.run(steps)
        ours.run(steps)
        assert ours.is_kept(), seed
        if not theirs.is_kept():
            continue  # where a view lies in between, torch's `.grad` takes what others hold, and changes it
        compared += 1
        if ours.refused is not None and "was used before and freed" in ours.refused:
            del theirs.log[len(ours.log) :]  # torch refuses only where something had been saved
        else:
            assert (ours.refused is None) == (theirs.refused is None), (seed, ours.refused, theirs.refused)
        assert (seed, ours.log) == (seed, theirs.log)
    assert compared > 40
