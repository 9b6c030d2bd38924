"""no_grad and the like as decorators, of functions and of generators, against torch."""

import asyncio
import inspect
import warnings
from typing import Any

import pytest
import torch

import convcore
from convcore.errors import DTypeError

LIBRARIES = [convcore, torch]
DECORATORS = {
    "no_grad": lambda library: library.no_grad,
    "no_grad()": lambda library: library.no_grad(),
    "enable_grad": lambda library: library.enable_grad,
    "enable_grad()": lambda library: library.enable_grad(),
    "inference_mode": lambda library: library.inference_mode,
    "inference_mode()": lambda library: library.inference_mode(),
    "inference_mode(True)": lambda library: library.inference_mode(True),
    "inference_mode(mode=False)": lambda library: library.inference_mode(mode=False),
    "set_grad_enabled(False)": lambda library: library.set_grad_enabled(False),
    "set_grad_enabled(mode=True)": lambda library: library.set_grad_enabled(mode=True),
}


def function(library: Any, decorator: Any) -> list[Any]:
    seen = []

    @decorator(library)
    def body(value):
        """What it does."""
        seen.append(library.is_grad_enabled())
        return value + 1

    seen += [library.is_grad_enabled(), body(2), library.is_grad_enabled(), body.__name__, body.__doc__]
    return seen


def function_that_raises(library: Any, decorator: Any) -> list[Any]:
    seen = []

    @decorator(library)
    def body():
        seen.append(library.is_grad_enabled())
        raise KeyError

    with pytest.raises(KeyError):
        body()
    return [*seen, library.is_grad_enabled()]


def recursive_function(library: Any, decorator: Any) -> list[Any]:
    @decorator(library)
    def body(depth):
        below = body(depth - 1) if depth else []
        return [*below, library.is_grad_enabled()]

    return [*body(3), library.is_grad_enabled()]


def method(library: Any, decorator: Any) -> list[Any]:
    class Thing:
        @decorator(library)
        def body(self):
            return library.is_grad_enabled()

        @staticmethod
        @decorator(library)
        def apart():
            return library.is_grad_enabled()

    return [Thing().body(), Thing.apart(), library.is_grad_enabled()]


def made_in_another_mode(library: Any, decorator: Any) -> list[Any]:
    with library.no_grad():
        before = library.is_grad_enabled()

        @decorator(library)
        def body():
            return library.is_grad_enabled()

        after = library.is_grad_enabled()
    return [before, after, body(), library.is_grad_enabled()]


def generator(library: Any, decorator: Any) -> list[Any]:
    @decorator(library)
    def body(count):
        for _ in range(count):
            yield library.is_grad_enabled()
        return library.is_grad_enabled()

    seen = [inspect.isgeneratorfunction(body)]
    steps = body(3)
    for inside in steps:
        seen += [inside, library.is_grad_enabled()]

    def outer():
        seen.append((yield from body(1)))

    return [*seen, *outer()]


def generator_that_is_sent_to(library: Any, decorator: Any) -> list[Any]:
    @decorator(library)
    def body():
        given = yield library.is_grad_enabled()
        while given is not None:
            given = yield given, library.is_grad_enabled()
        return "end"

    steps = body()
    seen = [next(steps), steps.send(1), library.is_grad_enabled(), steps.send(2)]
    with pytest.raises(StopIteration) as stopped:
        steps.send(None)
    return [*seen, stopped.value.value, library.is_grad_enabled()]


def generator_that_is_thrown_at(library: Any, decorator: Any) -> list[Any]:
    @decorator(library)
    def body():
        try:
            yield 1
        except ValueError as error:
            yield str(error), library.is_grad_enabled()
        try:
            yield 2
        finally:
            seen.append(library.is_grad_enabled())

    seen: list[Any] = []
    steps = body()
    seen += [next(steps), steps.throw(ValueError("thrown")), library.is_grad_enabled(), next(steps)]
    with pytest.raises(KeyError):
        steps.throw(KeyError("out"))
    return [*seen, library.is_grad_enabled(), list(steps)]


def generator_that_is_closed(library: Any, decorator: Any) -> list[Any]:
    seen = []

    @decorator(library)
    def body():
        try:
            yield 1
        finally:
            seen.append(library.is_grad_enabled())

    steps = body()
    next(steps)
    steps.close()
    unfinished = body()
    next(unfinished)
    del unfinished
    return [*seen, library.is_grad_enabled(), list(steps)]


def generator_that_goes_on_when_closed(library: Any, decorator: Any) -> list[Any]:
    @decorator(library)
    def body():
        while True:
            try:
                yield 1
            except GeneratorExit:
                yield 2

    steps = body()
    next(steps)
    with pytest.raises(RuntimeError, match="generator ignored GeneratorExit"):
        steps.close()
    return [library.is_grad_enabled()]


def generator_that_raises(library: Any, decorator: Any) -> list[Any]:
    @decorator(library)
    def body():
        yield library.is_grad_enabled()
        raise KeyError

    steps = body()
    seen = [next(steps)]
    with pytest.raises(KeyError):
        next(steps)
    return [*seen, library.is_grad_enabled()]


def generator_whose_caller_changes_the_mode(library: Any, decorator: Any) -> list[Any]:
    @decorator(library)
    def body():
        while True:
            yield library.is_grad_enabled()

    steps = body()
    seen = [next(steps)]
    with library.set_grad_enabled(False):
        seen += [next(steps), library.is_grad_enabled()]
    return [*seen, library.is_grad_enabled(), next(steps)]


def generator_that_changes_the_mode(library: Any, decorator: Any) -> list[Any]:
    @decorator(library)
    def body():
        library.set_grad_enabled(True)
        yield library.is_grad_enabled()
        yield library.is_grad_enabled()

    return [*body(), library.is_grad_enabled()]


def two_generators_in_turns(library: Any, decorator: Any) -> list[Any]:
    @decorator(library)
    def first():
        yield from iter(lambda: library.is_grad_enabled(), None)

    @library.enable_grad()
    def second():
        yield from iter(lambda: library.is_grad_enabled(), None)

    one, two = first(), second()
    return [next(steps) for steps in (one, two, two, one, two, one)] + [library.is_grad_enabled()]


def coroutine(library: Any, decorator: Any) -> list[Any]:
    @decorator(library)
    async def body():
        await asyncio.sleep(0)
        return library.is_grad_enabled()

    @decorator(library)
    async def steps():
        yield library.is_grad_enabled()

    async def main():
        return [await body(), [step async for step in steps()]]

    return [*asyncio.run(main()), library.is_grad_enabled()]


def block_around_a_generator(library: Any, decorator: Any) -> list[Any]:
    made = decorator(library)
    if inspect.isclass(made):
        return []
    seen = []
    with made:
        seen.append(library.is_grad_enabled())
    seen.append(library.is_grad_enabled())
    with made:  # once more
        seen.append(library.is_grad_enabled())
    return [*seen, library.is_grad_enabled()]


USES = [
    function, function_that_raises, recursive_function, method, made_in_another_mode, generator,
    generator_that_is_sent_to, generator_that_is_thrown_at, generator_that_is_closed,
    generator_that_goes_on_when_closed, generator_that_raises, generator_whose_caller_changes_the_mode,
    generator_that_changes_the_mode, two_generators_in_turns, coroutine, block_around_a_generator,
]  # fmt: skip


@pytest.mark.parametrize("name", DECORATORS)
@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
def test_modes_hold_where_torchs_do(use, name):
    results = []
    for library in LIBRARIES:
        results.append(use(library, DECORATORS[name]))
        library.set_grad_enabled(True)
    ours, theirs = results
    assert ours == theirs


def test_a_generator_records_only_what_its_mode_says():
    x = convcore.ones(2, requires_grad=True)

    @convcore.no_grad()
    def doubled():
        while True:
            yield x * 2

    steps = doubled()
    assert not next(steps).requires_grad
    assert (x * 2).requires_grad
    assert not next(steps).requires_grad


def test_set_grad_enabled_does_not_switch_when_it_decorates():
    def body():
        return convcore.is_grad_enabled()

    switch = convcore.set_grad_enabled(False)
    assert not convcore.is_grad_enabled()
    decorated = switch(body)
    assert convcore.is_grad_enabled()
    assert not decorated()
    assert convcore.is_grad_enabled()


@pytest.mark.parametrize("name", DECORATORS)
def test_to_decorate_a_class_is_deprecated(name):
    results = []
    for library in LIBRARIES:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")

            @DECORATORS[name](library)
            class Thing:
                def __init__(self, library=library):
                    self.enabled = library.is_grad_enabled()

                def asked_later(self, library=library):
                    return library.is_grad_enabled()

        results.append([w.category for w in caught] + [Thing().enabled, Thing().asked_later()])
    assert results[0] == results[1]
    with pytest.warns(FutureWarning, match="no_grad: to decorate a class is deprecated.*and int is no class any more"):
        convcore.no_grad(int)


def test_modes_are_true_or_false():
    for wrong in (1, None, "on", print):
        with pytest.raises(DTypeError, match="set_grad_enabled: mode must be True or False, got"):
            convcore.set_grad_enabled(wrong)  # pyright: ignore[reportArgumentType]
    with pytest.raises(DTypeError, match="inference_mode: mode must be True or False, got 0"):
        convcore.inference_mode(0)
    with pytest.raises(DTypeError, match="no_grad: decorates functions, got int; a block is `with no_grad"):
        convcore.no_grad(1)
    assert convcore.is_grad_enabled()
