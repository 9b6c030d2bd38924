"""How many threads the kernels use, and when they may use more than one.

Numba's OpenMP layer enters and leaves a parallel region in about 1 us, its fallback (workqueue) in about
90 us, so OpenMP is preferred. Each layer has a hazard, and each hazard has an answer here:

- GNU OpenMP ends a forked child at its first parallel region. After a fork the child therefore runs the
  serial build of every kernel: the same body compiled without threads.
- workqueue aborts the process when two Python threads enter it together. There a lock lets one in at a time.
- A child forked while another thread compiles would wait forever for the compiler's lock. So a fork waits
  until no thread compiles.
"""

import contextlib
import operator
import os
import threading

import numba
from numba.core.compiler_lock import global_compiler_lock
from numba.np.ufunc.parallel import threading_layer as numba_threading_layer

from kernels.cache import numba_config

if "NUMBA_THREADING_LAYER" not in os.environ and "NUMBA_THREADING_LAYER_PRIORITY" not in os.environ:
    numba_config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]

# Idle OpenMP threads spin, by default for milliseconds. That keeps the next region's start at 1 us, but on a machine
# that others use too, every region may wait that long for a thread that spins in vain: a training step of 64 digits
# took 1100 ms instead of 84 at a load of 6 on 2 cores. A fifteenth of the spinning costs an idle machine 2 % of that
# step and leaves a loaded one at 172 ms; no spinning at all costs an idle machine 18 %. GNU OpenMP reads this when it
# is loaded, before the first parallel kernel.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")

# Whether kernels may start with no more ado: the layer allows concurrent callers, `set_num_threads` was never
# called, and this process is not a forked child. Kernel.__call__ reads it on every call.
free_entry = False

_forked = False
_limit: int | None = None  # the last set_num_threads
_thread = threading.local()  # .limit: what this Python thread has told Numba, which keeps one number per thread
_state_lock = threading.Lock()
_workqueue_lock = threading.RLock()
_no_lock = contextlib.nullcontext()


def _after_fork_in_child() -> None:
    global _forked, free_entry, _state_lock
    _forked, free_entry = True, False
    _state_lock = threading.Lock()
    global_compiler_lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=_after_fork_in_child,
    )


def set_num_threads(n: int) -> None:
    """Let the kernels use `n` threads, 1 to `max_num_threads()`. The results do not depend on `n`.

    It holds for kernels called from any Python thread.
    """
    global _limit, free_entry
    highest = max_num_threads()
    try:
        number = 0 if isinstance(n, bool) else operator.index(n)
    except TypeError:
        number = 0
    if not 1 <= number <= highest:
        raise ValueError(
            f"set_num_threads: n must be an integer from 1 to {highest} (this process started with {highest} threads; "
            f"the environment variable NUMBA_NUM_THREADS, set before the first import, changes that), got {n!r}"
        )
    with _state_lock:
        _limit = number
        free_entry = False


def get_num_threads() -> int:
    """The number of threads that kernels use: what was set last, by default all of them; 1 in a forked child."""
    if _forked:
        return 1
    return numba.get_num_threads() if _limit is None else _limit


def max_num_threads() -> int:
    """The size of the thread pool: the machine's cores, or NUMBA_NUM_THREADS."""
    return numba_config.NUMBA_NUM_THREADS


def threading_layer() -> str:
    """'omp', 'tbb' or 'workqueue' once a parallel kernel has run; 'serial' in a forked child."""
    if _forked:
        return "serial"
    try:
        return numba_threading_layer()
    except ValueError:
        return "not started"


def run_serially() -> bool:
    """Whether kernels must run their serial builds in this process."""
    return _forked


def entry() -> contextlib.AbstractContextManager:
    """Prepare this Python thread for a parallel kernel; returns what to hold while it runs.

    That is a lock where the layer is not safe for concurrent callers. Until the first kernel has run the layer is
    unknown, so the first calls take the lock as well.
    """
    global free_entry
    if _limit is not None and getattr(_thread, "limit", None) != _limit:
        _thread.limit = _limit
        numba.set_num_threads(_thread.limit)
    if threading_layer() in ("not started", "workqueue"):
        return _workqueue_lock
    with _state_lock:
        free_entry = _limit is None and not _forked
    return _no_lock
