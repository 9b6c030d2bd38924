"""The warm-up runs a throwaway model, after a run of a copy that only tells which kernels it launches."""

from typing import Any

import pytest

import convcore
from convcore import nn
from convcore.errors import ShapeError
from convcore.training import warm_up


class _Particular(nn.Module):
    """Refuses to be copied, or the numbers of a run whose kernels are skipped."""

    def __init__(self, copies: bool):
        super().__init__()
        self.copies = copies
        self.layer = nn.Conv2d(1, 4, 3)
        self.calls = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Particular":
        if not self.copies:
            raise TypeError("this model cannot be copied")
        return _Particular(True)

    def forward(self, x: Any) -> Any:
        self.calls += 1
        with convcore.no_grad():
            self.layer.weight.fill_(1.0)
            self.layer.bias.fill_(0.5)
        y = self.layer(x)
        if not (y.detach().numpy() == 0.5).all():  # the images are zeros
            raise ArithmeticError("these are no results of mine")
        return y.flatten(1)


@pytest.mark.parametrize("copies", [True, False])
def test_a_model_that_refuses_the_first_look_is_warmed_up_all_the_same(copies):
    model = _Particular(copies)
    warm_up(model, (1, 8, 8), 4)
    assert model.calls == 4, "two batches, each in training and in evaluation"


def test_the_generator_moves_only_by_what_the_true_steps_draw():
    def draws_after(calls: int) -> Any:
        convcore.manual_seed(3)
        for _ in range(calls):
            model = nn.Sequential(nn.Dropout(0.5), nn.Flatten(), nn.Linear(64, 3))
            convcore.manual_seed(5)
            warm_up(model, (1, 8, 8), 4)
        return convcore.rand(3).tolist()

    assert draws_after(1) == draws_after(2)
    convcore.manual_seed(5)
    dropped = nn.Dropout(0.5)
    for size in (2, 4):
        dropped(convcore.zeros(size, 1, 8, 8))
    assert convcore.rand(3).tolist() == draws_after(1)


def test_true_errors_are_raised():
    with pytest.raises(ShapeError):
        warm_up(nn.Sequential(nn.Flatten(), nn.Linear(7, 3)), (1, 8, 8), 4)
