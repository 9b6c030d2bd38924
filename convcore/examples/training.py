"""The training of a classifier on arrays, shared by the examples."""

from __future__ import annotations

import numpy as np

import convcore as cc
import convcore.nn.functional as F
from convcore import nn, optim
from convcore.training import train_unfrozen

Examples = tuple[np.ndarray, np.ndarray]  # inputs (N, ...) in float32, and their classes (N,)


def train(
    model: nn.Module,
    examples: Examples,
    held_out: Examples,
    epochs: int,
    optimizer: optim.Optimizer | None = None,
    *,
    batch: int,
) -> float:
    """Train with cross-entropy, print the progress, and return the accuracy on the held-out examples.

    Args:
        optimizer: by default Adam for all parameters, with a learning rate of 0.005.
        batch: the number of examples in a step.
    """
    inputs, labels = examples
    if optimizer is None:
        optimizer = optim.Adam(model.parameters(), lr=5e-3)
    accuracy = 0.0
    for epoch in range(epochs):
        order = np.random.default_rng(epoch).permutation(len(labels))
        total = 0.0
        train_unfrozen(model)
        for chosen in np.split(order, range(batch, len(order), batch)):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(cc.tensor(inputs[chosen])), cc.tensor(labels[chosen]))
            loss.backward()
            optimizer.step()
            total += loss.item() * len(chosen)
        model.eval()
        with cc.no_grad():
            accuracy = float((model(cc.tensor(held_out[0])).argmax(1).numpy() == held_out[1]).mean())
        print(f"epoch {epoch + 1:2}: loss {total / len(order):.3f}, {accuracy:.1%} of the held-out examples right")
    return accuracy
