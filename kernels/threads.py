"""How many threads the kernels use, and when they may use more than one.

Numba's OpenMP layer enters and leaves a parallel region in about 1 us, its fallback (workqueue) in about
90 us, so OpenMP is asked for first. Each layer has a hazard, and each hazard its answer here:

- GNU OpenMP ends a forked child at its first parallel region. After a fork the child therefore runs the
  serial twin of every kernel: the same body compiled without threads, with bitwise the same results.
- workqueue aborts the process when two Python threads enter it together. There a lock lets one in at a time.
"""

import os
import threading

import numba
from numba.core import config

if "NUMBA_THREADING_LAYER" not in os.environ and "NUMBA_THREADING_LAYER_PRIORITY" not in os.environ:
    config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]

_forked = False
_workqueue_lock: "threading.RLock | None" = None
_layer_known = False


def _after_fork_in_child() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def set_num_threads(n: int) -> None:
    """Let the kernels use `n` threads, 1 to `max_num_threads()`. The results do not depend on `n`."""
    limit = max_num_threads()
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= limit:
        raise ValueError(
            f"set_num_threads: n must be an integer from 1 to {limit} (this process started with {limit} threads; "
            f"the environment variable NUMBA_NUM_THREADS, set before the first import, changes that), got {n!r}"
        )
    numba.set_num_threads(n)


def get_num_threads() -> int:
    """The number of threads that kernels called from this Python thread use."""
    return 1 if _forked else numba.get_num_threads()


def max_num_threads() -> int:
    """The size of the thread pool: the machine's cores, or NUMBA_NUM_THREADS."""
    return config.NUMBA_NUM_THREADS


def threading_layer() -> str:
    """'omp', 'tbb' or 'workqueue' once a parallel kernel has run; 'serial' in a forked child."""
    if _forked:
        return "serial"
    try:
        return numba.threading_layer()
    except ValueError:
        return "not started"


def run_serially() -> bool:
    """Whether kernels must run their serial twin in this process."""
    return _forked


def entry_lock() -> "threading.RLock | None":
    """The lock to hold while a parallel kernel runs; None where the layer is safe for concurrent callers.

    Until the first kernel has run the layer is unknown, so the first calls take the lock as well.
    """
    global _layer_known, _workqueue_lock
    if not _layer_known:
        if _workqueue_lock is None:
            _workqueue_lock = threading.RLock()
        layer = threading_layer()
        if layer == "not started":
            return _workqueue_lock
        _layer_known = True
        if layer != "workqueue":
            _workqueue_lock = None
    return _workqueue_lock
