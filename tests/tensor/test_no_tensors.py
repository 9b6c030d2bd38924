"""What is no tensor where a tensor is needed: every public function says so in an error of this project."""

import inspect
import pickle
from typing import Any

import pytest

import convcore as cc
from convcore.errors import ConvcoreError, DTypeError
from convcore.nn import functional as F
from convcore.ops.core.public_api import guarded, tensors_of

PLACES = {"convcore": (cc, cc.__all__), "F": (F, F.__all__), "Tensor": (cc.Tensor, dir(cc.Tensor))}


def takers():
    """(where, function, argument) of all arguments that must be tensors."""
    for where, (owner, names) in PLACES.items():
        for name in names:
            function = getattr(owner, name)
            if name.startswith("_") or not inspect.isfunction(function):
                continue
            for argument in tensors_of(inspect.unwrap(function), where == "Tensor"):
                yield where, name, argument


def call(where, name, argument, wrong):
    """Call a function with one wrong argument; the others get something that may do."""
    function = getattr(PLACES[where][0], name)
    args, kwargs = [], {}
    for parameter in inspect.signature(function).parameters.values():
        needed = parameter.default is parameter.empty
        if parameter.name == argument:
            value = wrong
        elif not needed or parameter.kind is parameter.VAR_KEYWORD:
            continue
        elif parameter.annotation == "Tensor" or (where == "Tensor" and not args):
            value = cc.ones(2, 2)
        else:
            value = {"Sequence[Tensor]": [cc.ones(2, 2)], "str": "sum"}.get(str(parameter.annotation), 1)
        if parameter.kind is parameter.POSITIONAL_ONLY or parameter.kind is parameter.VAR_POSITIONAL:
            args.append(value)
        elif parameter.kind is parameter.KEYWORD_ONLY or kwargs or (args and not needed):
            kwargs[parameter.name] = value
        else:
            args.append(value)
    return function(*args, **kwargs)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of kl_div's reduction
@pytest.mark.parametrize(("where", "name", "argument"), list(takers()))
def test_what_is_no_tensor_is_refused(where, name, argument):
    for wrong in ([1.0, 2.0], "input", object()):
        with pytest.raises((ConvcoreError, TypeError, ValueError)) as caught:
            call(where, name, argument, wrong)
        assert not isinstance(caught.value, AttributeError)


def test_the_argument_is_named():
    with pytest.raises(DTypeError, match=r"sum: input must be a tensor, got list; convcore.tensor\(...\) makes one"):
        cc.sum([1.0])  # pyright: ignore[reportArgumentType]
    with pytest.raises(DTypeError, match="gather: index must be a tensor, got list"):
        cc.ones(2).gather(0, [1])  # pyright: ignore[reportArgumentType]
    with pytest.raises(DTypeError, match="index_add: source must be a tensor, got float"):
        cc.ones(2).index_add_(0, cc.tensor([1]), 2.0)  # pyright: ignore[reportArgumentType]
    with pytest.raises(DTypeError, match=r"atleast_1d: tensors\[1\] must be a tensor, got int"):
        cc.atleast_1d(cc.ones(2), 3)


def test_errors_of_the_engine_itself_are_left_alone():
    def broken(input: Any) -> Any:
        return input.no_such_thing

    broken.__annotations__["input"] = "Tensor"  # as in modules whose annotations are words
    with pytest.raises(AttributeError, match="no_such_thing"):
        guarded(broken, __name__)(cc.ones(2))


def test_guarded_functions_can_be_pickled():
    for function in (cc.sum, cc.relu, F.relu):
        assert pickle.loads(pickle.dumps(function)) is function
