"""Recordings: a computation as the list of the calls it made, which can be made again without Python in between.

What a network computes on one small image takes less time than to find out what to compute: to look up geometries,
algorithms, packed filters and memory. All of that is the same at each call. So the calls of kernels and of NumPy are
noted once, with the very arrays that they got, and are then made again in their order.

That nothing is missing from the list does not rest on anybody's remembering to note it. There are three doors, and what
passes none of them cannot get into a result:

- a kernel is launched by `kernels.launch.Kernel`, which tells the recording of each launch;
- NumPy computes from tensors' numbers, which are traced arrays (`convcore.engine.traced`) and tell the recording
  themselves;
- a tensor is made by `Variable.__init__`, which asks the recording for its array (`adopted`). Memory that neither an
  input, nor a parameter or buffer, nor a call at one of the other doors has filled is unknown, and an objection.

A list may also be right today and wrong tomorrow, because Python decided something. Looking at numbers is therefore an
objection, too, and two recordings of two calls are compared: `difference` finds what is not the same in both, such as a
count that somebody keeps or a number drawn by Python. Tables that kernels read (geometries, packed filters) are known
by being the same array in both.

The arrays come from an arena of their own (`convcore.memory.Arena`), for later calls must find them as they were.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from convcore import memory
from convcore.engine.traced import Traced, plain, traced
from kernels.launch import Kernel, watched
from kernels.program import Program

# What NumPy answers from shapes and dtypes alone.
_OF_FORM = {
    np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.may_share_memory, np.shares_memory, np.iscomplexobj,
    np.isrealobj, np.common_type,
}  # fmt: skip
# What shows the same memory, or copies it; only a copy is a step. All else that gives an argument's memory wrote to it.
_VIEWS = {
    np.ndarray.__getitem__, np.ndarray.reshape, np.ndarray.transpose, np.ndarray.swapaxes, np.ndarray.squeeze,
    np.ndarray.ravel, np.ndarray.diagonal, np.reshape, np.transpose, np.swapaxes, np.squeeze, np.ravel, np.diagonal,
    np.moveaxis, np.rollaxis, np.expand_dims, np.broadcast_to, np.broadcast_arrays, np.flip, np.fliplr, np.flipud,
    np.rot90, np.split, np.array_split, np.atleast_1d, np.atleast_2d, np.atleast_3d, np.real, np.imag,
    np.lib.stride_tricks.sliding_window_view,
}  # fmt: skip
_LEAVE_PYTHON = {np.ndarray.tofile, np.ndarray.dump}  # return nothing, and yet tell numbers


STRANGER = "it reads a tensor that cannot be found in the model, and may be another one at the next call"


# A function, and what it is called with.
_Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class ShapeChangedError(Exception):
    """A step gave an array of another shape than the one it gave when it was noted."""


class NumbersChangedError(Exception):
    """A step found numbers for which other steps are wanted."""


class Recording:
    """Calls in their order, and the memory that they work on.

    Attributes:
        steps: functions and what each is called with.
        wiring: for each step the same in terms that two recordings have in common: which memory, which numbers.
        objections: why the steps do not tell all, or may not hold for other numbers.
        tensors: all that were made meanwhile.
        inputs: the arrays that a replay reads, in the place of those that were given.
    """

    def __init__(self, inputs: Sequence[np.ndarray] = (), state: Sequence[np.ndarray] = ()) -> None:
        """`inputs` are what changes from call to call, `state` what stays."""
        self.arena = memory.Arena()
        self.steps: list[_Call] = []
        self.wiring: list[tuple[Any, ...]] = []
        self._calls: list[_Call] | None = None
        self.objections: list[str] = []
        self.tensors: list[weakref.ref[Any]] = []
        self.inputs = [memory.laid_out_like(array) for array in inputs]
        self._spans = [memory.span(array) for array in inputs]
        self._owners: dict[int, tuple[Any, str, int]] = {}  # of known memory, by id: the owner, its kind, a number
        self._elsewhere: dict[int, np.ndarray] = {}  # arrays of unknown memory in steps, and what they are views of
        self._thread = threading.get_ident()
        self._is_open = False
        for position, array in enumerate(inputs):
            self._know(array, "input", position)
        for position, array in enumerate(state):
            if self._kind(array) == "input":
                self.objections.append("an input lies in the memory of one of its parameters or buffers")
            self._know(array, "state", position)

    # Whose memory an array shows

    def _know(self, array: np.ndarray, kind: str, number: int) -> None:
        owner = memory.owner(array)
        self._owners[id(owner)] = owner, kind, number

    def _kind(self, array: np.ndarray) -> str | None:
        """What is known of an array's memory: "input", "state", "made" or "constant"; None if nothing is."""
        known = self._owners.get(id(memory.owner(array)))
        if known is not None:
            return known[1]
        return "made" if self.arena.place(array) is not None else None

    def _made(self, array: np.ndarray, is_small: bool) -> np.ndarray:
        """New memory, to which operations write: what NumPy writes must be seen."""
        if is_small:  # else it lies in a block of the arena
            self._know(array, "made", len(self._owners))
        return self.traced(array)

    def traced(self, array: np.ndarray) -> Traced:
        """The same memory as an array that tells this recording what is computed from it."""
        return traced(array, self)

    def is_of_inputs(self, array: np.ndarray) -> bool:
        """Whether a tensor's numbers may be others at the next call; objects if it is none of the model's."""
        kind = self._kind(array)
        if kind is None and array.size:
            self.objections.append(STRANGER)
        return kind in ("input", "made")

    # The doors

    @contextlib.contextmanager
    def made(self) -> Iterator[None]:
        """Have noted what this thread computes."""
        recordings[self._thread] = self
        self._is_open = True
        try:
            with self.arena.lends(self._made), watched(self._saw):
                yield
        finally:
            self._is_open = False
            del recordings[self._thread]
            self._owners.clear()  # the steps hold what they need, and nobody else's memory

    def _saw(self, kernel: Kernel, args: tuple[Any, ...]) -> None:
        if self._is_open:
            self.note(kernel, args, {})

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Do not note what is computed from the state alone, and kept for later calls."""
        self._is_open = False
        del recordings[self._thread]
        try:
            with memory.from_the_pool():
                yield
        finally:
            recordings[self._thread] = self
            self._is_open = True

    def note(self, function: Callable[..., Any], args: tuple[Any, ...], settings: dict[str, Any]) -> None:
        """Add a call."""
        self.steps.append((function, self._placed(args), self._placed(settings)))
        self.wiring.append((function, self._token(args), self._token(settings)))

    def performed(self, function: Callable[..., Any], args: tuple[Any, ...], settings: dict[str, Any]) -> Any:
        """What NumPy's function gives, noted."""
        given, named = plain(args), plain(settings)
        result = function(*given, **named)
        if not self._is_open or threading.get_ident() != self._thread:
            return result
        with np.errstate(all="ignore"):
            return self._noted(function, given, named, result)

    def _noted(self, function: Any, args: tuple[Any, ...], settings: dict[str, Any], result: Any) -> Any:
        if isinstance(result, np.generic):
            result = np.asarray(result)
        if result is None and function not in _LEAVE_PYTHON:
            self.note(function, args, settings)
            return None
        several = isinstance(result, (tuple, list))
        results: list[Any] = list(result) if several else [result]
        if not all(isinstance(array, np.ndarray) for array in results):
            if function not in _OF_FORM:
                self.looked_at(function.__name__)
            return result
        given = _arrays_in((args, settings))
        is_view = [any(np.may_share_memory(array, other) for other in given) for array in results]
        if not (function in _VIEWS and all(is_view)):
            # What is new moves into the arena, where its memory is used again once nobody holds it.
            homes = [array if view else self._moved(array) for array, view in zip(results, is_view, strict=True)]
            if isinstance(function, np.ufunc) and "out" in settings:
                self.note(function, args, settings)
            elif isinstance(function, np.ufunc) and not several:
                self.note(function, args, {**settings, "out": homes[0]})
            else:
                self.note(_make_again, (homes, several, function, list(args), settings), {})
            results = homes
        shown = [self.traced(array) for array in results]
        return type(result)(shown) if several else shown[0]

    def _moved(self, array: np.ndarray) -> np.ndarray:
        """A copy in the arena with the same strides, or at least the same order of axes."""
        order = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
        block = plain(memory.empty([array.shape[axis] for axis in order], array.dtype))
        home = block.transpose(np.argsort(order).tolist())
        np.copyto(home, array)
        return home

    def adopted(self, tensor: Any, array: Any) -> Any:
        """The array for a new tensor."""
        self.tensors.append(weakref.ref(tensor))
        if not isinstance(array, np.ndarray):
            return array
        if self._kind(array) is None and array.size:
            self.objections.append(f"{caller()} computes where it is not noted")
            return array
        return self.traced(array)

    def constant(self, array: np.ndarray) -> np.ndarray:
        """An array that was made from Python's numbers alone: two recordings compare what it holds."""
        self._know(array, "constant", len(self._owners))
        return self.traced(array)

    def filled(self, array: np.ndarray) -> np.ndarray:
        """A constant that may be changed afterwards: a replay fills its memory anew."""
        if self._kind(array) is not None:
            return array
        self._know(array, "constant", len(self._owners))
        home = self._moved(array)
        self.note(np.copyto, (home, array), {})
        return self.traced(home)

    def looked_at(self, how: str) -> None:
        """Object that numbers became known to Python, which may decide by them."""
        if self._is_open:
            self.objections.append(f"it looks at numbers ({how} in {caller()})")

    def flag(self) -> np.ndarray:
        """Memory for a kernel to note something in; 0 at the beginning of a replay, which `expects_unset` sees to."""
        array = np.zeros(1, np.int64)
        self._know(array, "made", len(self._owners))
        return array

    def expects_unset(self, flag: np.ndarray) -> None:
        """Have a replay look whether a flag is 0, as it should be now."""
        self.note(_check_unset, (flag,), {})
        if flag[0]:
            self.objections.append("its numbers are too large for the fastest algorithm")

    def strangers(self) -> list[np.ndarray]:
        """Arrays of unknown memory that steps read: tables, if they are no tensors'."""
        return list(self._elsewhere.values())

    # What a step keeps

    def placed(self, array: np.ndarray) -> np.ndarray:
        """An array as a replay finds it: of the inputs' copies, or of the arena without its lease."""
        address = array.__array_interface__["data"][0]
        for own, (start, stop) in zip(self.inputs, self._spans, strict=True):
            if start <= address < stop:
                offset = address - start
                return np.ndarray(array.shape, array.dtype, own.base, offset, array.strides)
        return self.arena.unleased(plain(array))

    def _placed(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return self.placed(value)
        if isinstance(value, dict):
            return {key: self._placed(item) for key, item in value.items()}
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*map(self._placed, value))
        return type(value)(map(self._placed, value)) if type(value) in (tuple, list) else value

    def _token(self, value: Any) -> Any:
        """What a recording of the same calls with other numbers has in the same place."""
        if isinstance(value, np.ndarray):
            return self.token(value)
        if isinstance(value, dict):
            return [(key, self._token(item)) for key, item in value.items()]
        return [self._token(item) for item in value] if isinstance(value, (tuple, list)) else value

    def token(self, array: np.ndarray) -> tuple[Any, ...]:
        """Which memory an array shows, and how."""
        address = array.__array_interface__["data"][0]
        form = array.shape, array.strides, array.dtype
        owner, kind, number = self._owners.get(id(memory.owner(array)), (None, "", 0))
        if kind == "input":
            return "input", [address - start for start, stop in self._spans if start <= address < stop], *form
        if kind == "constant":
            return "constant", array.dtype, array.shape, array.tobytes()
        if kind == "made":
            return "made", number, address - memory.span(owner)[0], *form
        place = self.arena.place(array)
        if place is not None:
            return "arena", *place, *form
        if owner is None:
            shown: Any = array
            while isinstance(shown, np.ndarray):
                self._elsewhere[id(shown)] = shown
                shown = shown.base
        return "elsewhere", address, *form

    def replay(self) -> None:
        """Make all calls again: neighbouring launches of kernels as one program, what NumPy computes between them."""
        if self._calls is None:
            self._calls = list(_with_programs(self.steps))
        with np.errstate(all="ignore"):
            for function, args, settings in self._calls:
                function(*args, **settings)


def _with_programs(steps: Iterable[_Call]) -> Iterator[_Call]:
    """The same calls, with each run of launches as one call of a program.

    What only looks at flags comes last: what it may object to is computed anew by the model, and no step reads a flag.
    """
    computing = [step for step in steps if step[0] is not _check_unset]
    for is_launch, run in itertools.groupby(computing, lambda step: isinstance(step[0], Kernel)):
        if is_launch:
            yield Program([kernel.step(*args) for kernel, args, _ in run]).run, (), {}
        else:
            yield from run
    yield from (step for step in steps if step[0] is _check_unset)


def described(function: Any, args: tuple[Any, ...], settings: dict[str, Any]) -> tuple[str, list[np.ndarray]]:
    """The name of a step's function, and its arrays."""
    if function is _make_again:
        results, _, function, *rest = args
        return function.__name__, _arrays_in([*rest, results])
    return function.__name__, _arrays_in((args, settings))


def difference(first: Recording, second: Recording) -> str | None:
    """What two calls did differently although only the numbers of their inputs may differ; None if nothing."""
    for one, other in zip(first.wiring, second.wiring, strict=False):
        name = (one[1][2] if one[0] is _make_again else one[0]).__name__
        if one[0] is not other[0]:
            return f"two calls with the same kind of input do different things ({name} and {other[0].__name__})"
        if not _same(one[1:], other[1:]):
            others = _tokens_in(other[1:])
            made_anew = any(token[0] == "elsewhere" and token not in others for token in _tokens_in(one[1:]))
            what = "an array that is made anew at each call, unseen" if made_anew else "something else at each call"
            return f"{name} gets {what}"
    if len(first.wiring) != len(second.wiring):
        return f"two calls with the same kind of input take {len(first.wiring)} and {len(second.wiring)} steps"
    return None


def _tokens_in(value: Any) -> list[tuple[Any, ...]]:
    """The tokens of arrays in what a step is called with."""
    if isinstance(value, tuple) and value and isinstance(value[0], str):
        return [value]
    return [token for item in value for token in _tokens_in(item)] if isinstance(value, (tuple, list)) else []


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, (float, np.generic)):
        return np.asarray(one).tobytes() == np.asarray(other).tobytes()  # NaN is NaN, and -0.0 is not 0.0
    return one is other or bool(one == other)


def _make_again(
    results: list[np.ndarray], several: bool, function: Callable[..., Any], args: list[Any], settings: dict[str, Any]
) -> None:
    given = function(*args, **settings)
    for result, array in zip(results, given if several else (given,), strict=True):
        if result.shape != np.shape(array):
            raise ShapeChangedError(f"the shape of what {function.__name__} gives depends on numbers")
        if not np.may_share_memory(result, array):
            np.copyto(result, array)
        elif result.__array_interface__ != array.__array_interface__:
            raise ShapeChangedError(f"which part of its argument {function.__name__} gives depends on numbers")


def _check_unset(flag: np.ndarray) -> None:
    if flag[0]:
        flag[0] = 0
        raise NumbersChangedError("these numbers are too large for the fastest algorithm")


def _arrays_in(value: Any) -> list[np.ndarray]:
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (tuple, list)):
        return []
    return [array for item in value for array in _arrays_in(item)]


# Functions through which many operations go; the one that called them says more.
_INNER = {"forward", "apply", "backward", "wrapped", "function", "in_place", "checked", "compute", "performed"}


def caller() -> str:
    """The operation that runs, for messages: the outermost public function of `convcore.ops`, else who called us."""
    frame: Any = sys._getframe(1)
    name = ""
    while frame is not None:
        module, function = frame.f_globals.get("__name__", ""), frame.f_code.co_name
        is_engine = module.startswith(("convcore.ops", "convcore.autograd", "convcore.tensor", "convcore.engine"))
        if function == "settle":  # what waited to be computed: the operation was called elsewhere
            return name or type(frame.f_locals["self"]).__name__
        if not is_engine:
            return name or function
        if module.startswith(("convcore.ops", "convcore.tensor")) and function[0] != "_" and function not in _INNER:
            name = function
        frame = frame.f_back
    return name or "something"


recordings: dict[int, Recording] = {}  # by the thread that makes them


def current() -> Recording | None:
    """The recording that this thread makes."""
    return recordings.get(threading.get_ident()) if recordings else None


def adopted(tensor: Any, array: Any) -> Any:
    """The array for a new tensor, where recordings are made."""
    recording = recordings.get(threading.get_ident())
    return array if recording is None else recording.adopted(tensor, array)


def constant(array: np.ndarray) -> np.ndarray:
    """The same array, made from Python's numbers alone, and which nobody will write to: a recording may keep it."""
    recording = current()
    return array if recording is None else recording.constant(array)


def filled(array: np.ndarray) -> np.ndarray:
    """An array made from Python's numbers alone, for a tensor of the user's: a recording makes it again."""
    recording = current()
    return array if recording is None else recording.filled(array)


def flag() -> np.ndarray:
    """A 0 in an array (1,), for a kernel to note there what hardly ever happens."""
    recording = current()
    return np.zeros(1, np.int64) if recording is None else recording.flag()


def is_set(flag: np.ndarray) -> bool:
    """Whether a kernel has noted something in a flag. A replay looks, too, and where it has, the model is called."""
    recording = current()
    if recording is not None:
        recording.expects_unset(flag)
    return bool(flag[0])


def looked_at(how: str) -> None:
    """Tell the recording, if there is one, that numbers became known to Python code, which may decide by them."""
    recording = current()
    if recording is not None:
        recording.looked_at(how)
