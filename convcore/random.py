"""Randomness: one seed determines every initial weight, dropout mask and shuffled order.

A `Generator` has two sources that start from the same seed:

- a NumPy generator, for values drawn in sequence (initial weights, permutations);
- a counter for Philox (kernels/cpu/vector/philox.py), for values drawn in parallel (dropout masks). A call reserves a
  range of counters, and the kernel computes the random number of each element from its counter.

Operations without a generator argument draw from `active()`: the generator of the innermost `drawing_from`, or
`default_generator`. A `DataLoader` fetches each batch inside `drawing_from`, so the random values of a dataset depend
neither on the fetching thread nor on the draws of the training loop.
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
    """A source of random numbers that can be seeded, saved and restored.

    Args:
        seed: an integer from -2^63 to 2^64 - 1 (2^64 is added to negative ones); by default a new one from the
            operating system.

    Thread-safe; the numbers that each thread gets depend on the order of the calls.
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
        """Restart from `seed`; returns the generator itself."""
        seed = _checked_seed(seed)
        with self._lock:
            self._seed = seed
            self._counter = 0
            self._numpy.bit_generator.state = np.random.PCG64(seed).state
        return self

    def seed(self) -> int:
        """Restart from a seed of the operating system, and return the seed."""
        seed = secrets.randbits(63)
        self.manual_seed(seed)
        return seed

    def initial_seed(self) -> int:
        """The seed of the last start."""
        return self._seed

    @classmethod
    def around(cls, rng: np.random.Generator) -> Generator:
        """A generator that draws from, and advances, a NumPy generator; the Philox key comes from the same seed."""
        sequence: Any = rng.bit_generator.seed_seq
        result = cls.__new__(cls)
        result._lock = threading.RLock()
        result._seed, result._counter = int(sequence.generate_state(1, np.uint64)[0]), 0
        result._numpy = rng
        return result

    @property
    def numpy(self) -> np.random.Generator:
        """The NumPy generator; draws from it advance this generator's state. It is always the same object."""
        return self._numpy

    def next_offset(self, count: int) -> tuple[int, int]:
        """Reserve `count` Philox counters: returns the key and the first counter. Later calls get other counters."""
        with self._lock:
            first = self._counter
            self._counter = (first + count) % _WORD
            return self._seed, first

    def get_state(self) -> dict[str, Any]:
        """The complete state: a dictionary of strings and integers, for JSON or pickle."""
        with self._lock:
            return {
                "seed": self._seed,
                "counter": self._counter,
                "numpy": copy.deepcopy(dict(self._numpy.bit_generator.state)),
            }

    def set_state(self, state: dict[str, Any]) -> Generator:
        """Restore a state of `get_state`; returns the generator itself."""
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
    """In this thread, make all operations without a generator argument draw from `generator`.

    That is for tensors, dropout, initial weights, samplers and random transforms; `manual_seed` and the like act on it,
    too. The global generators of NumPy and Python are not affected.
    """
    before = _thread.generator
    _thread.generator = generator if isinstance(generator, Generator) else Generator.around(generator)
    try:
        yield
    finally:
        _thread.generator = before


def active() -> Generator:
    """The generator of operations without a generator argument: that of the innermost `drawing_from` in this thread,
    or `default_generator`."""
    generator = _thread.generator
    return default_generator if generator is None else generator


def current_generator() -> np.random.Generator | None:
    """The NumPy generator of the innermost `drawing_from` in this thread, or None."""
    generator = _thread.generator
    return None if generator is None else generator.numpy


def numpy_generator(op: str, generator: Generator | None) -> np.random.Generator:
    """The NumPy generator of an operation's generator argument, or of `active()` for None."""
    if generator is None:
        return active().numpy
    if not isinstance(generator, Generator):
        raise DTypeError(f"{op}: generator must be a convcore.Generator or None, got {type(generator).__name__}")
    return generator.numpy


def manual_seed(seed: int) -> Generator:
    """Seed the generator of operations without a generator argument, see `active`; returns that generator."""
    return active().manual_seed(seed)


def seed() -> int:
    """Seed `active()` from the operating system, and return the seed."""
    return active().seed()


def initial_seed() -> int:
    """The seed of the last start of `active()`."""
    return active().initial_seed()


def get_rng_state() -> dict[str, Any]:
    """The state of `active()`; see `Generator.get_state`."""
    return active().get_state()


def set_rng_state(state: dict[str, Any]) -> None:
    """Restore a state of `active()`; see `Generator.set_state`."""
    active().set_state(state)
