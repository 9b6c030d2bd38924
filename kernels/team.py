"""The team: the threads that work on the chunks of a launch.

The thread that launches is the first of the team and always works; the others help where they can, and nobody waits
for a thread that does not run. So what else the machine is busy with costs their help, and nothing more.

    launch          a slot gets thunk, frame and chunks; then each thread's share of the chunks a word; EPOCH moves on
    every thread    claims the chunks of its own share one by one, then those left of other shares, then adds to DONE
    who launched    waits until DONE is the number of chunks

A word holds the number of the launch (upper half) and how many chunks of a share are left (lower half). One
`compare_exchange` takes a chunk away. Where it succeeds the launch cannot end before that chunk is done, so all that
the slot says holds until then; a thread that read an old word fails, for the upper half is another by now.

A program is a table of launches: who runs it publishes one after the other, and the other threads see no difference.

Idle threads look at EPOCH for a while, then give way to other threads of the machine, then sleep on one of Python's
locks (its C functions need no interpreter), and a launch wakes them. With OMP_WAIT_POLICY=passive they sleep at once.
They are started with the first kernel of a process, and end before the interpreter does; a forked child has none and
computes alone.

References: ggml's graphs, which every thread walks with a barrier behind each node (ggml-cpu.c); here nobody counts
threads, so nothing hangs where fewer run than were asked for.
"""

import atexit
import ctypes
import os
import threading
from _thread import start_new_thread
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types

from kernels.atomics import (
    compare_exchange,
    exchange,
    fetch_add,
    load,
    load_acquire,
    pause,
    store,
    store_fence,
    store_release,
)
from kernels.cache import numba_config, providers
from kernels.denormals import flush_denormals, restore_denormals
from kernels.jit import CFunction, inline, intrinsic

RUN = "convcore_run"  # the name by which kernels call it

LINE = 64  # bytes that cores hand to each other at once: what different threads write lies in different lines
SLOTS = 8  # launches at the same time, of different Python threads, that the team helps; any more compute alone

MAX_THREADS = numba_config.NUMBA_NUM_THREADS

# Where things are, in bytes from the beginning of the team's memory.
EPOCH, SLEEPERS, STOP, ACTIVE, CAPACITY, PATIENCE = 0, LINE, 2 * LINE, 2 * LINE + 8, 2 * LINE + 16, 2 * LINE + 24
THREADS = 3 * LINE  # a line for each thread: ASLEEP, LOCK
ASLEEP, LOCK = 0, 8
# Behind them SLOTS slots: a line of what a launch is, a line for DONE, a line for each share's word.
TAKEN, NUMBER, THUNK, FRAME, CHUNKS, SHARES, DONE, WORDS = 0, 8, 16, 24, 32, 40, LINE, 2 * LINE

_LEFT = (1 << 32) - 1  # the lower half of a word
_NUMBER_SHIFT = 32

_PAUSES = 2000  # looks at EPOCH or DONE before a thread gives way: some 40 to 100 us
_TURNS = 3500  # looks, with or without giving way, before an idle thread sleeps

_give_way = types.ExternalFunction("convcore_give_way", types.int32())
_acquire_lock = types.ExternalFunction("convcore_acquire_lock", types.int32(types.int64, types.int32))
_release_lock = types.ExternalFunction("convcore_release_lock", types.void(types.int64))


@intrinsic
def _memory(typing_context):
    """The address of the team's memory."""

    def codegen(context, builder, signature, arguments):
        place = cgutils.add_global_variable(builder.module, ir.IntType(8), "convcore_team")
        return builder.ptrtoint(place, ir.IntType(64))

    return types.int64(), codegen


@intrinsic
def _call(typing_context, thunk, chunk, frame):
    """Do one chunk: call `void thunk(int64 chunk, int64 frame)`."""

    def codegen(context, builder, signature, arguments):
        number = ir.IntType(64)
        function = ir.FunctionType(ir.VoidType(), [number, number])
        builder.call(builder.inttoptr(arguments[0], function.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@inline
def _slot(team, number):
    capacity = load(team + CAPACITY)
    return team + THREADS + (capacity + number * (2 + capacity)) * LINE


@inline
def _end_of_share(chunks, shares, share):
    """The first chunk behind a share."""
    return chunks * (share + 1) // shares


@inline
def _claim(word):
    """Take one chunk away from a share; returns how many were left before, 0 if none."""
    found = load_acquire(word)
    while found & _LEFT != 0:
        seen = compare_exchange(word, found, found - 1)
        if seen == found:
            break
        found = seen
    return found & _LEFT


@inline
def _work(slot, me):
    """Do chunks of a slot's launch until none is left to claim; returns how many.

    Threads without a share of their own leave few chunks to those that have one.
    """
    done = 0
    shares = load(slot + SHARES)  # perhaps of a launch that ends just now: a claim tells
    for k in range(shares if me < shares else 0):
        share = (me + k) % shares
        left = _claim(slot + WORDS + share * LINE)
        while left > 0:
            end = _end_of_share(load(slot + CHUNKS), load(slot + SHARES), share)
            _call(load(slot + THUNK), end - left, load(slot + FRAME))
            done += 1
            left = _claim(slot + WORDS + share * LINE)
    if done > 0:
        store_fence()
        fetch_add(slot + DONE, done)
    return done


@inline
def _wake(team, threads):
    """Wake the first threads of the team that sleep."""
    for me in range(1, threads):
        thread = team + THREADS + me * LINE
        if load(thread + ASLEEP) == 1 and compare_exchange(thread + ASLEEP, 1, 0) == 1:
            fetch_add(team + SLEEPERS, -1)
            _release_lock(load(thread + LOCK))


@inline
def _take_slot(team):
    """A slot for this thread's launches; 0 if all are taken."""
    for number in range(SLOTS):
        slot = _slot(team, number)
        if load(slot + TAKEN) == 0 and compare_exchange(slot + TAKEN, 0, 1) == 0:
            return slot
    return 0


@inline
def _launch(team, slot, threads, thunk, frame, chunks):
    """Have the team do all chunks."""
    if slot == 0 or chunks == 1:
        for chunk in range(chunks):
            _call(thunk, chunk, frame)
        store_fence()
        return
    shares = min(threads, chunks)
    number = load(slot + NUMBER) + 1
    store(slot + NUMBER, number)
    store(slot + THUNK, thunk)
    store(slot + FRAME, frame)
    store(slot + CHUNKS, chunks)
    store(slot + SHARES, shares)
    store(slot + DONE, 0)
    for share in range(shares):
        count = _end_of_share(chunks, shares, share) - _end_of_share(chunks, shares, share - 1)
        store_release(slot + WORDS + share * LINE, number << _NUMBER_SHIFT | count)
    fetch_add(team + EPOCH, 1)
    if load(team + SLEEPERS) > 0:
        _wake(team, shares)
    _work(slot, 0)
    turns = 0
    while load_acquire(slot + DONE) < chunks:
        turns += 1
        if turns < _PAUSES:
            pause()
        else:
            _give_way()


def _run(table, steps):
    """Make the launches of a program, or a single one: `table` is a word, then thunk, frame, chunks of each step.

    If a chunk fails, the word becomes 1 and the rest is left out.
    """
    team = _memory()
    threads = load(team + ACTIVE)
    mode = flush_denormals()
    slot = _take_slot(team) if threads > 1 and (steps > 1 or load(table + 24) > 1) else 0
    for step in range(steps):
        row = table + 8 + 24 * step
        frame = load(row + 8)
        _launch(team, slot, threads, load(row), frame, load(row + 16))
        if load(frame) != 0:
            store(frame, 0)
            store(table, 1)
            break
    if slot != 0:
        store_release(slot + TAKEN, 0)
    restore_denormals(mode)


def _serve(me):
    """What a thread of the team does all its life."""
    team = _memory()
    thread = team + THREADS + me * LINE
    flush_denormals()
    seen, turns = -1, 0
    while load(team + STOP) == 0:
        epoch, done = load_acquire(team + EPOCH), 0
        if epoch != seen:
            seen = epoch
            for number in range(SLOTS):
                done += _work(_slot(team, number), me)
        turns += 1
        if done > 0:
            turns = 0
        elif turns < min(_PAUSES, load(team + PATIENCE)):
            pause()
        elif turns < load(team + PATIENCE):
            _give_way()
        else:
            exchange(thread + ASLEEP, 1)
            fetch_add(team + SLEEPERS, 1)
            # A launch after this sees a sleeper; one before it has moved EPOCH on.
            awake = load_acquire(team + EPOCH) != seen or load(team + STOP) != 0
            if awake and compare_exchange(thread + ASLEEP, 1, 0) == 1:
                fetch_add(team + SLEEPERS, -1)
            else:
                _acquire_lock(load(thread + LOCK), 1)
                turns = 0


run = CFunction(RUN, _run, arguments=2)
serve = CFunction("convcore_serve", _serve, arguments=1)


def _of_python(name: str, result: Any, *arguments: Any) -> Any:
    """A C function of Python's; `ctypes.pythonapi` itself belongs to everybody and stays as it is."""
    return ctypes.PYFUNCTYPE(result, *arguments)((name, ctypes.pythonapi))


_allocate_lock = _of_python("PyThread_allocate_lock", ctypes.c_void_p)
_acquire_lock_now = _of_python("PyThread_acquire_lock", ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_release_lock_now = _of_python("PyThread_release_lock", None, ctypes.c_void_p)


class Team:
    """The team of this process, as Python sees it."""

    def __init__(self) -> None:
        words = (THREADS + (MAX_THREADS + SLOTS * (2 + MAX_THREADS)) * LINE) // 8
        block = np.zeros(words + LINE // 8, np.int64)
        skipped = -block.ctypes.data % LINE // 8
        self.memory = block[skipped : skipped + words]
        self.memory[CAPACITY // 8] = MAX_THREADS
        self.memory[ACTIVE // 8] = MAX_THREADS
        # OpenMP's variable, for programs that share the cores with others: idle threads sleep at once.
        self.memory[PATIENCE // 8] = 0 if os.environ.get("OMP_WAIT_POLICY", "").lower() == "passive" else _TURNS
        self.is_started = self.is_forked = False
        self._lock = threading.RLock()
        self._is_starting = False
        self._running: list[threading.Event] = []

    def threads(self) -> int:
        """How many threads work on a launch."""
        return int(self.memory[ACTIVE // 8])

    def set_threads(self, number: int) -> None:
        """Have launches from now on use so many threads; a forked child keeps its one."""
        if not self.is_forked:
            self.memory[ACTIVE // 8] = number

    def forget_threads(self) -> None:
        """Compute alone: this process is a forked child, in which the other threads do not exist."""
        self.is_forked = True
        self._lock, self._running = threading.RLock(), []
        self.memory[: THREADS // 8] = 0
        self.memory[ACTIVE // 8], self.memory[CAPACITY // 8] = 1, MAX_THREADS
        slots = self.memory[(THREADS + MAX_THREADS * LINE) // 8 :]
        slots[:] = 0

    def start(self) -> None:
        """Provide kernels with `convcore_run`, and start the threads; later calls do nothing."""
        if self.is_started:
            return
        with self._lock:
            if self.is_started or self._is_starting:
                return
            self._is_starting = True
            give_way = ctypes.windll.kernel32.SwitchToThread if os.name == "nt" else ctypes.CDLL(None).sched_yield
            for name, function in (
                ("convcore_give_way", give_way),
                ("convcore_acquire_lock", _acquire_lock_now),
                ("convcore_release_lock", _release_lock_now),
            ):
                llvm.add_symbol(name, ctypes.cast(function, ctypes.c_void_p).value)
            llvm.add_symbol("convcore_team", self.memory.ctypes.data)
            run.provide()
            if not self.is_forked and MAX_THREADS > 1:
                serve.provide()
                self._start_threads()
            self.is_started = True

    def _start_threads(self) -> None:
        for me in range(1, MAX_THREADS):
            lock = _allocate_lock()
            _acquire_lock_now(lock, 1)  # the thread that acquires it again sleeps until it is released
            self.memory[(THREADS + me * LINE + LOCK) // 8] = lock
            ended = threading.Event()
            start_new_thread(self._live, (me, ended))
            self._running.append(ended)
        atexit.register(self._stop)

    def _live(self, me: int, ended: threading.Event) -> None:
        try:
            serve.call(me)
        finally:
            ended.set()

    def _stop(self) -> None:
        """End the threads: they must not run machine code that goes away with the interpreter."""
        self.memory[ACTIVE // 8] = 1
        self.memory[STOP // 8] = 1
        for me, ended in enumerate(self._running, 1):
            while not ended.wait(0.001):
                asleep = (THREADS + me * LINE + ASLEEP) // 8
                if self.memory[asleep]:
                    self.memory[asleep] = 0
                    _release_lock_now(int(self.memory[(THREADS + me * LINE + LOCK) // 8]))


team = Team()
providers[RUN] = team.start
