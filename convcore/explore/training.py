"""Live training: the network for digits trains in a thread, and pages poll its state."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from convcore import random
from convcore.autograd import no_grad
from convcore.data import DataLoader, digits
from convcore.explore import fields
from convcore.inspect.activations import layer_filters
from convcore.models import digit_cnn
from convcore.nn import functional as F
from convcore.nn.base.modes import evaluating
from convcore.optim import Adam
from convcore.training.trainer import Score, check_finite

BATCH = 64
EVERY = 5  # batches between two snapshots
HELD_OUT = 500  # digits of the test part that evaluate each snapshot
MAX_EPOCHS = 5
PATIENCE = 30  # seconds to wait for a batch to end


@dataclass(frozen=True)
class Snapshot:
    """The state of a training at one moment.

    Attributes:
        batch: the number of batches trained so far.
        loss, accuracy: the mean over the batches since the last snapshot.
        held_out_accuracy: the accuracy on digits that are never trained on.
        confusion: (10, 10), how often a held-out digit of the row's class was predicted as the column's class.
        filters: (8, 5, 5), the filters of the first convolution.
    """

    batch: int
    loss: float
    accuracy: float
    held_out_accuracy: float
    confusion: np.ndarray
    filters: np.ndarray


def batches_of(epochs: int) -> int:
    """The number of batches in `epochs` epochs."""
    return epochs * (len(digits("train")) // BATCH)


def snapshots(rate: float, epochs: int, seed: int = 0) -> Iterator[Snapshot]:
    """Train a new `digit_cnn` with Adam; yield a snapshot at the beginning and after every few batches.

    Raises:
        FloatingPointError: the training diverged.
    """
    random.manual_seed(seed)
    model = digit_cnn()
    optimizer = Adam(model.parameters(), lr=rate)
    images, labels = (tensor[:HELD_OUT] for tensor in digits("test").tensors)
    loader = DataLoader(digits("train"), BATCH, shuffle=True, drop_last=True, seed=seed, prefetch=0)
    batch, score = 0, None

    def judged() -> Snapshot:
        with evaluating(model), no_grad():
            logits = model(images)
            answers = logits.argmax(1).numpy()
            loss = F.cross_entropy(logits, labels)
        confusion = np.zeros((10, 10), np.int64)
        np.add.at(confusion, (labels.numpy(), answers), 1)
        right = float(np.trace(confusion) / len(answers))
        seen = (loss.item(), right) if score is None else (score.loss, score.accuracy)
        return Snapshot(batch, *seen, right, confusion, layer_filters(model)[:, 0])

    yield judged()
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            logits = model(x)
            loss = F.cross_entropy(logits, y)
            loss.backward()
            optimizer.step()
            batch += 1
            score = score or Score()
            score.add(loss, logits, y)
            check_finite(f"batch {batch}: the loss", score.loss)
            if batch % EVERY == 0:
                yield judged()
                score = None


class LiveTraining:
    """At most one training, in its own thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.status, self.error = "idle", ""
        self.run = self.total = 0
        self.seen: list[Snapshot] = []

    def start(self, rate: float, epochs: int) -> None:
        """Start a new training.

        Raises:
            RequestError: a training is running.
        """
        with self._lock:
            if self.status == "running":
                raise fields.RequestError("a training is running already; stop it first")
            self.status, self.error, self.total, self.seen = "running", "", batches_of(epochs), []
            self.run += 1
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, args=(rate, epochs), daemon=True)
            self._thread.start()

    def now(self) -> tuple[int, str, list[Snapshot]]:
        """The number of the training, counted from the first; its status; its snapshots."""
        with self._lock:
            status = self.status  # read before the snapshots, so that a finished training shows all of them
            return self.run, status, list(self.seen)

    def stop(self) -> None:
        """Stop the training, if there is one, after its current batches."""
        self._stop.set()
        self.wait()

    def wait(self) -> None:
        """Wait until the training, if there is one, has ended."""
        if self._thread is not None:
            self._thread.join(PATIENCE)

    def _run(self, rate: float, epochs: int) -> None:
        try:
            for snapshot in snapshots(rate, epochs):
                self.seen.append(snapshot)
                if self._stop.is_set():
                    break
            self.status = "stopped" if self._stop.is_set() else "finished"
        except Exception as error:
            self.error = str(error)
            self.status = "failed"
            if not isinstance(error, FloatingPointError):
                raise


LIVE = LiveTraining()


@functools.cache
def untrained() -> Snapshot:
    """The snapshot that a page shows before the first training."""
    return next(snapshots(rate=1.0, epochs=1))


def start(body: dict[str, Any]) -> dict[str, Any]:
    """Start a training. Request: rate, the learning rate, and epochs."""
    LIVE.start(fields.number(body, "rate", 1e-6, 10), fields.integer(body, "epochs", 1, MAX_EPOCHS))
    return state({"since": 0})


def stop(body: dict[str, Any]) -> dict[str, Any]:
    """Stop the training. Request: since, as for `state`."""
    since = fields.integer(body, "since", 0, 10**9)
    LIVE.stop()
    return state({"since": since})


def state(body: dict[str, Any]) -> dict[str, Any]:
    """The state of the training. Request: since, the number of snapshots that the page already has."""
    since = fields.integer(body, "since", 0, 10**9)
    run, status, seen = LIVE.now()
    if status == "idle":
        seen = [untrained()]
    return {
        "run": run,
        "since": since,
        "status": status,
        "error": LIVE.error,
        "batches": LIVE.total,
        "points": [
            {"batch": s.batch, "loss": s.loss, "accuracy": s.accuracy, "held_out": s.held_out_accuracy}
            for s in seen[since:]
        ],
        "confusion": seen[-1].confusion.tolist() if seen else None,
        "filters": fields.as_map(seen[-1].filters) if seen else None,
    }
