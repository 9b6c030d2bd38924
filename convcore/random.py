"""Randomness: one seed decides every initial weight, every dropout mask and every shuffled order.

A `Generator` holds two sources that start from the same seed:

- a NumPy generator, for what is drawn once and in sequence (initial weights, permutations);
- a counter for Philox (kernels/cpu/vector/philox.py), for what is drawn in parallel (dropout masks). A call reserves a
  range of counters, and the kernel computes each element's number from its own counter.

What is given no generator draws from `active()`: from `default_generator`, but inside `drawing_from` from that one's.
A `DataLoader` fetches each batch inside of it, so what a dataset draws depends neither on the thread that fetches nor
on what the training loop draws meanwhile.
"""

from __future__ import annotations

import copy
import operator
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from convcore.errors import CheckpointError, DTypeError, ShapeError

_WORD = 1 << 64


class Generator:
    """A source of random numbers that can be seeded, saved and put back.

    Args:
        seed: an integer from -2^63 to 2^64 - 1 (negative ones count from 2^64 down); by default a new one is taken from
            the operating system.

    Safe to use from several threads; which thread gets which numbers then depends on their order.
    """

    def __init__(self, seed: int | None = None):
        self._lock = threading.RLock()
        self._seed = 0
        self._counter = 0
        self._numpy = np.random.Generator(np.random.PCG64(0))
        if seed is None:
            self.seed()
        else:
            self.manual_seed(seed)

    def manual_seed(self, seed: int) -> Generator:
        """Start anew from `seed`; returns the generator itself."""
        seed = _checked_seed(seed)
        with self._lock:
            self._seed = seed
            self._counter = 0
            self._numpy.bit_generator.state = np.random.PCG64(seed).state
        return self

    def seed(self) -> int:
        """Start anew from a seed of the operating system, and return it."""
        seed = secrets.randbits(63)
        self.manual_seed(seed)
        return seed

    def initial_seed(self) -> int:
        """The seed from which the generator last started."""
        return self._seed

    @classmethod
    def around(cls, numbers: np.random.Generator) -> Generator:
        """A generator that draws from a NumPy generator, which moves with it; masks start from the same seed."""
        sequence: Any = numbers.bit_generator.seed_seq
        result = cls.__new__(cls)
        result._lock = threading.RLock()
        result._seed, result._counter = int(sequence.generate_state(1, np.uint64)[0]), 0
        result._numpy = numbers
        return result

    @property
    def numpy(self) -> np.random.Generator:
        """The NumPy generator; what is drawn from it moves this generator's state. It stays the same object."""
        return self._numpy

    def next_offset(self, count: int) -> tuple[int, int]:
        """Reserve `count` Philox counters: returns the key and the first counter, which no later call gets again."""
        with self._lock:
            first = self._counter
            self._counter = (first + count) % _WORD
            return self._seed, first

    def get_state(self) -> dict[str, Any]:
        """All that decides the numbers to come: a dictionary of strings and integers, ready for JSON or pickle."""
        with self._lock:
            return {
                "seed": self._seed,
                "counter": self._counter,
                "numpy": copy.deepcopy(dict(self._numpy.bit_generator.state)),
            }

    def set_state(self, state: dict[str, Any]) -> Generator:
        """Go on exactly where `get_state` was called; returns the generator itself."""
        try:
            seed, counter = _checked_seed(state["seed"]), operator.index(state["counter"]) % _WORD
            numpy_state = np.random.PCG64(0)
            numpy_state.state = state["numpy"]
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                "set_state: state must be a dictionary from get_state() with the keys 'seed', 'counter' and 'numpy', "
                f"got {state!r}"
            ) from error
        with self._lock:
            self._seed, self._counter = seed, counter
            self._numpy.bit_generator.state = numpy_state.state
        return self

    def __getstate__(self) -> dict[str, Any]:
        return self.get_state()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(0)
        self.set_state(state)

    def __repr__(self) -> str:
        return f"Generator(initial_seed={self._seed})"


def _checked_seed(seed: int) -> int:
    try:
        if isinstance(seed, bool):
            raise TypeError
        number = operator.index(seed)
    except TypeError:
        raise DTypeError(f"manual_seed: seed must be an integer, got {seed!r} ({type(seed).__name__})") from None
    if not -(_WORD // 2) <= number < _WORD:
        raise ShapeError(f"manual_seed: seed must lie from -2**63 to 2**64 - 1, got {number}")
    return number % _WORD


default_generator = Generator()


class _Thread(threading.local):
    generator: Generator | None = None


_thread = _Thread()


@contextmanager
def drawing_from(generator: Generator | np.random.Generator) -> Iterator[None]:
    """Let all that is given no generator of its own draw, in this thread, from `generator`.

    Tensors, dropout, initial weights, samplers and random transforms do; `manual_seed` and its kind act on it. NumPy's
    and Python's own global generators are not touched.
    """
    before = _thread.generator
    _thread.generator = generator if isinstance(generator, Generator) else Generator.around(generator)
    try:
        yield
    finally:
        _thread.generator = before


def active() -> Generator:
    """What draws without a generator of its own draw from: that of the innermost `drawing_from` in this thread, or
    `default_generator`."""
    generator = _thread.generator
    return default_generator if generator is None else generator


def current_generator() -> np.random.Generator | None:
    """The NumPy generator of the innermost `drawing_from` in this thread, if there is one."""
    generator = _thread.generator
    return None if generator is None else generator.numpy


def numpy_generator(op: str, generator: Generator | None) -> np.random.Generator:
    """What `op` draws from: the NumPy generator of the one that it was given, or of `active()`."""
    if generator is None:
        return active().numpy
    if not isinstance(generator, Generator):
        raise DTypeError(f"{op}: generator must be a convcore.Generator or None, got {type(generator).__name__}")
    return generator.numpy


def manual_seed(seed: int) -> Generator:
    """Seed the generator from which everything draws that is not given one of its own, see `active`; returns it."""
    return active().manual_seed(seed)


def seed() -> int:
    """Seed `active()` from the operating system, and return that seed."""
    return active().seed()


def initial_seed() -> int:
    """The seed from which `active()` last started."""
    return active().initial_seed()


def get_rng_state() -> dict[str, Any]:
    """The state of `active()`; see `Generator.get_state`."""
    return active().get_state()


def set_rng_state(state: dict[str, Any]) -> None:
    """Put back a state of `active()`; see `Generator.set_state`."""
    active().set_state(state)
