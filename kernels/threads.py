"""How many threads the kernels use."""

import operator
import os

from numba.core.compiler_lock import global_compiler_lock

from kernels.team import MAX_THREADS, team


def _after_fork_in_child() -> None:
    team.forget_threads()
    global_compiler_lock.release()


# A child forked while another thread compiles would wait forever for the compiler's lock. So a fork waits until no
# thread compiles.
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
    team.set_threads(number)


def get_num_threads() -> int:
    """The number of threads that kernels use: what was set last, by default all of them; 1 in a forked child."""
    return team.threads()


def max_num_threads() -> int:
    """The size of the team: the machine's cores, or NUMBA_NUM_THREADS."""
    return MAX_THREADS
