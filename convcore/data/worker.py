"""Workers of a DataLoader: threads that do what they are given, each in its own order."""

from __future__ import annotations

import atexit
import copy
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from convcore.autograd import Variable


@dataclass(frozen=True)
class WorkerInfo:
    """What a worker of a `DataLoader` knows of itself.

    Attributes:
        id: its number, from 0 to num_workers - 1.
        num_workers: how many there are.
        seed: a number that the loader's seed, the epoch and `id` fix, to seed other libraries with.
        dataset: this worker's own copy of the dataset, see `own_copy`.
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any


class _Thread(threading.local):
    info: WorkerInfo | None = None


_thread = _Thread()


def get_worker_info() -> WorkerInfo | None:
    """The worker in whose thread this is called, or None outside of workers, as in torch.

    A dataset asks it in `__iter__`, and a `worker_init_fn` for the worker's copy of the dataset.
    """
    return _thread.info


def own_copy(dataset: Any) -> Any:
    """A copy of a dataset for one worker: what it or a `worker_init_fn` sets on it, such as an open file, is its own.

    What its attributes refer to is shared, for threads need no second copy of the samples. Lists, arrays and tensors
    are not copied at all.
    """
    return copy.copy(dataset) if hasattr(dataset, "__dict__") and not isinstance(dataset, Variable) else dataset


class Worker:
    """A thread that works off tasks in the order in which they come.

    Args:
        number: a part of the thread's name.
        info: what `get_worker_info()` says in this thread.
    """

    def __init__(self, number: int, info: WorkerInfo | None):
        self.info = info
        self._tasks: SimpleQueue[Any] = SimpleQueue()
        # A daemon: a fetch that hangs, on a lost network say, does not keep the program from ending.
        self._thread = threading.Thread(
            target=_work, args=(self._tasks, info), name=f"convcore-data-loader_{number}", daemon=True
        )
        self._thread.start()
        _running.add(self)

    def submit(self, task: Callable[[], Any]) -> Future:
        """Have `task` called; what it returns or raises is the result of the future."""
        future: Future = Future()
        self._tasks.put((future, task))
        return future

    def stop(self) -> None:
        """Let the thread end after the tasks that it has."""
        self._tasks.put(None)

    def join(self) -> None:
        """Wait for the end of the thread."""
        if self._thread is not threading.current_thread():  # where the garbage collector may run, too
            self._thread.join()

    def abandon(self) -> None:
        """Wait no more for the thread, not even at the end of the program."""
        _running.discard(self)


def stop_all(workers: list[Worker], wait: bool = True) -> None:
    """End workers, and wait until none of them is at work any more, or never again."""
    for worker in workers:
        worker.stop()
    for worker in workers:
        worker.join() if wait else worker.abandon()


_running: weakref.WeakSet[Worker] = weakref.WeakSet()


@atexit.register
def _end() -> None:
    """No thread is left inside a kernel while the interpreter is taken down."""
    stop_all(list(_running))


def _work(tasks: SimpleQueue[Any], info: WorkerInfo | None) -> None:
    _thread.info = info
    while (given := tasks.get()) is not None:
        future, task = given
        if future.set_running_or_notify_cancel():
            try:
                result = task()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
                del result
        del given, future, task  # a thread that waits keeps no batch alive
