"""Kernels: what one chunk does, how many chunks there are, and the launch that does them all.

    @inline
    def _chunks(out):                            how many chunks, from those arguments that it names
        return ceil_div(out.size, CHUNK)

    @kernel(_chunks)
    def negate(chunk, x, out):                   what one chunk does, and nothing of threads
        for i in range(chunk * CHUNK, min((chunk + 1) * CHUNK, out.size)):
            out[i] = -x[i]

    negate(x, out)                               launches it: all chunks, on all threads, now
    step = negate.step(x, out)                   the same launch for later, in a program

For each signature one entry point is compiled, `entry(record, *args)`: it writes the arguments into a frame and has the
team work on it (`convcore_run`), or writes the frame where `record` points to. The team calls the kernel by a thunk,
`void thunk(int64 chunk, int64 frame)`, which reads the frame again.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from threading import get_ident
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types

from kernels import frame
from kernels.cache import KernelCache, numba_config
from kernels.jit import chunk_function, entry_point, intrinsic
from kernels.team import RUN

_SLOT = ir.IntType(64)

kernels: list[Kernel] = []

_watchers: dict[int, Callable[[Kernel, tuple[Any, ...]], Any]] = {}  # by thread
SKIPPED = object()


def _no_watcher(kernel: Kernel, args: tuple[Any, ...]) -> None:
    """Of a thread that nobody watches."""


@contextlib.contextmanager
def watched(watcher: Callable[[Kernel, tuple[Any, ...]], Any]) -> Iterator[None]:
    """Have `watcher(kernel, args)` called before each kernel that this thread launches.

    A watcher that returns `SKIPPED` prevents the launch: what the kernel would write stays as it is.
    """
    thread = get_ident()
    before = _watchers.get(thread)
    _watchers[thread] = watcher
    try:
        yield
    finally:
        del _watchers[thread]
        if before is not None:
            _watchers[thread] = before


class Kernel:
    """What one chunk does. A call from Python launches all chunks and returns when they are done."""

    def __init__(self, body: Callable[..., None], chunks: Callable[..., int] | int):
        self.body = body
        self.__name__ = body.__name__
        self.__doc__ = body.__doc__
        self.__module__ = body.__module__
        self.__wrapped__ = body
        self.entry: Any = entry_point(_entry(body, chunks), KernelCache(body, "entry"))
        kernels.append(self)

    def __call__(self, *args) -> None:
        if _watchers and _watchers.get(get_ident(), _no_watcher)(self, args) is SKIPPED:
            return
        self.entry(0, *args)

    def step(self, *args) -> Step:
        """The launch with these arguments, for a program: their arrays must stay where they are."""
        return Step(self, args)

    def is_compiled(self, signature: tuple[Any, ...]) -> bool:
        """Whether there is machine code for arguments of these types, here or on disk."""
        return signature in self.entry.overloads or self.entry._cache.has(signature)

    def __repr__(self) -> str:
        return f"<kernel {self.__module__}.{self.__name__}>"


class Step:
    """A launch written down.

    Attributes:
        kernel, args: what is launched; the arrays are kept alive.
        thunk: the address of the machine code of one chunk.
        frame: the arguments as the thunk reads them.
        chunks: how many chunks.
    """

    __slots__ = ("args", "chunks", "frame", "kernel", "thunk")

    def __init__(self, kernel: Kernel, args: tuple[Any, ...]):
        self.kernel, self.args = kernel, args
        if numba_config.BOUNDSCHECK:
            self.thunk, self.chunks, self.frame = 0, 1, np.zeros(1, np.int64)  # a program launches the kernel
            return
        record = np.zeros(frame.most_slots(args) + 1, np.int64)
        self.chunks: int = kernel.entry(record.ctypes.data, *args)
        self.frame, self.thunk = record[1:], int(record[0])


def kernel(chunks: Callable[..., int] | int) -> Callable[[Callable[..., None]], Kernel]:
    """Mark a function as a kernel: what one chunk does with arrays and numbers, results written into given arrays.

    Args:
        chunks: how many chunks: a number, or an `@inline` function of those of the kernel's arguments that it names.
            What it gives follows from shapes and settings alone, so that results do not depend on the threads.
    """
    return lambda body: Kernel(body, chunks)


def kernel_named(name: str, chunks: Callable[..., int] | int) -> Callable[[Callable[..., None]], Kernel]:
    """`kernel` for a body that is defined inside a function and made anew, from other functions, at each call of it.

    `name` distinguishes the results, in the cache, too. All functions that the body calls must be in `kernels/`.
    """

    def mark(body: Callable[..., None]) -> Kernel:
        body.__name__ = body.__qualname__ = name
        return Kernel(body, chunks)

    return mark


def _entry(body: Callable[..., None], chunks: Callable[..., int] | int) -> Callable[..., int]:
    """The function that Python calls: `entry(record, *args)` with the kernel's own names. Returns how many chunks."""
    names = list(inspect.signature(body).parameters)[1:]
    count = str(chunks)
    if callable(chunks):
        named = list(inspect.signature(chunks).parameters)
        if not set(named) <= set(names):
            raise TypeError(f"{body.__name__}: the function of its chunks takes {named}, but its arguments are {names}")
        count = f"chunks({', '.join(named)})"
    function = chunk_function(body)
    arguments = "".join(f"{name}, " for name in names)
    if numba_config.BOUNDSCHECK:
        # An index out of range raises in a chunk: only a plain loop takes that to Python.
        lines = [f"for i in range({count}):", f"    one_chunk(i, {arguments})", f"return {count}"]
    else:
        lines = [f"return launch(record, {count}, ({arguments}))"]
    source = "".join([f"def entry(record, {arguments}):\n", *(f"    {line}\n" for line in lines)])
    scope: dict[str, Any] = {
        "chunks": chunks, "one_chunk": function, "launch": _launch_of(function, body.__name__), "__name__": __name__,
    }  # fmt: skip
    exec(compile(source, f"<entry point of {body.__name__}>", "exec"), scope)
    entry = scope["entry"]
    entry.__name__ = entry.__qualname__ = body.__name__
    return entry


def _launch_of(function: Any, name: str) -> Any:
    """The intrinsic that launches a kernel, or writes down what a launch would be."""

    @intrinsic
    def launch(typing_context, record, chunks, args):
        """Launch all chunks if record is 0, else write thunk and frame there. Returns the number of chunks."""
        kinds = tuple(args)
        size = 1 + sum(map(frame.slots, kinds))
        callee = typing_context.resolve_value_type(function)
        one_chunk = callee.get_call_type(typing_context, (types.int64, *kinds), {})

        def codegen(context, builder, signature, values):
            record, chunks, args = values
            compiled = function.overloads[one_chunk.args]
            context.add_linking_libs([compiled.library])
            thunk = builder.ptrtoint(_thunk(context, builder.module, compiled.fndesc, one_chunk, name), _SLOT)
            given = cgutils.unpack_tuple(builder, args, len(kinds))
            mine, table = (cgutils.alloca_once(builder, _SLOT, size=slots) for slots in (size, 4))
            with builder.if_else(builder.icmp_unsigned("==", record, _SLOT(0))) as (now, later):
                with now:
                    frame.write(context, builder, kinds, given, mine)
                    frame.store_words(builder, table, [_SLOT(0), thunk, builder.ptrtoint(mine, _SLOT), chunks])
                    _call_run(builder, builder.ptrtoint(table, _SLOT), _SLOT(1))
                    with builder.if_then(cgutils.is_not_null(builder, builder.load(table, typ=_SLOT)), likely=False):
                        message = f"{name}: no memory for the buffers of a chunk"
                        context.call_conv.return_user_exc(builder, MemoryError, (message,))
                with later:
                    place = builder.inttoptr(record, _SLOT.as_pointer())
                    builder.store(thunk, place)
                    behind = builder.gep(place, [_SLOT(1)], source_etype=_SLOT)
                    frame.write(context, builder, kinds, given, behind)
            return chunks

        return types.int64(types.int64, types.int64, args), codegen

    return launch


def _call_run(builder: Any, table: Any, steps: Any) -> None:
    signature = ir.FunctionType(ir.VoidType(), [_SLOT, _SLOT])
    builder.call(cgutils.get_or_insert_function(builder.module, signature, RUN), [table, steps])


def _thunk(context: Any, module: Any, compiled: Any, signature: Any, name: str) -> Any:
    """`void thunk(int64 chunk, int64 frame)`: one chunk with the arguments of a frame."""
    thunk = ir.Function(module, ir.FunctionType(ir.VoidType(), [_SLOT, _SLOT]), module.get_unique_name(f"{name}.thunk"))
    thunk.linkage = "internal"
    builder = ir.IRBuilder(thunk.append_basic_block())
    chunk, address = thunk.args
    place = builder.inttoptr(address, _SLOT.as_pointer())
    arguments = frame.read(context, builder, signature.args[1:], place)
    status, _ = context.call_internal_no_propagate(builder, compiled, signature, [chunk, *arguments])
    with builder.if_then(status.is_error, likely=False):
        builder.store(_SLOT(1), place)
    builder.ret_void()
    return thunk
