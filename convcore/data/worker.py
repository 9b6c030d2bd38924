"""Workers of a DataLoader: threads that run tasks in the order of submission."""

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
    """Information about a worker of a `DataLoader`.

    Attributes:
        id: the number of the worker, from 0 to num_workers - 1.
        num_workers: the number of workers.
        seed: a seed for other libraries, determined by the loader's seed, the epoch and `id`.
        dataset: the worker's own copy of the dataset, see `own_copy`.
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any


class _Thread(threading.local):
    info: WorkerInfo | None = None


_thread = _Thread()


def get_worker_info() -> WorkerInfo | None:
    """The worker of the calling thread, or None outside of workers, as in torch.

    A stream calls it in `__iter__` to find its part, and a `worker_init_fn` to find the worker's copy of the dataset.
    """
    return _thread.info


def own_copy(dataset: Any) -> Any:
    """A shallow copy of a dataset for one worker, so that attributes set by the worker, say an open file, are its own.

    The objects that attributes refer to are shared, because threads need no second copy of the samples. Lists, arrays
    and tensors are not copied.
    """
    return copy.copy(dataset) if hasattr(dataset, "__dict__") and not isinstance(dataset, Variable) else dataset


class Worker:
    """A thread that runs tasks in the order of submission.

    Args:
        number: a part of the thread's name.
        info: the result of `get_worker_info()` in this thread.
    """

    def __init__(self, number: int, info: WorkerInfo | None):
        self.info = info
        self._tasks: SimpleQueue[Any] = SimpleQueue()
        # A daemon, so that a hanging fetch, say on a lost network, does not keep the program from exiting.
        self._thread = threading.Thread(
            target=_work, args=(self._tasks, info), name=f"convcore-data-loader_{number}", daemon=True
        )
        self._thread.start()
        _running.add(self)

    def submit(self, task: Callable[[], Any]) -> Future:
        """Run `task` in the thread; the future gets its result or exception."""
        future: Future = Future()
        self._tasks.put((future, task))
        return future

    def stop(self) -> None:
        """End the thread after the tasks submitted so far."""
        self._tasks.put(None)

    def join(self) -> None:
        """Wait for the end of the thread."""
        if self._thread is not threading.current_thread():  # the garbage collector may call this in the worker itself
            self._thread.join()

    def abandon(self) -> None:
        """Never wait for the thread, not even at exit."""
        _running.discard(self)


def stop_all(workers: list[Worker], wait: bool = True) -> None:
    """End workers, and wait for their threads, or abandon them."""
    for worker in workers:
        worker.stop()
    for worker in workers:
        worker.join() if wait else worker.abandon()


_running: weakref.WeakSet[Worker] = weakref.WeakSet()


@atexit.register
def _end() -> None:
    """End all workers at exit, so that no thread is inside a kernel while the interpreter shuts down."""
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
        del given, future, task  # so that a waiting thread keeps no batch alive
