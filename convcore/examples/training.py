"""What the examples share: training a classifier on arrays."""

from __future__ import annotations

import numpy as np

import convcore as cc
import convcore.nn.functional as F
from convcore import nn, optim

Examples = tuple[np.ndarray, np.ndarray]  # inputs (N, ...) in float32, and their classes (N,)


def train(model: nn.Module, examples: Examples, held_out: Examples, epochs: int, batch: int) -> float:
    """Train with Adam and cross-entropy, print how it goes, and return the accuracy on the held-out examples."""
    inputs, labels = examples
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    accuracy = 0.0
    for epoch in range(epochs):
        order = np.random.default_rng(epoch).permutation(len(labels))
        total = 0.0
        for chosen in np.split(order, range(batch, len(order), batch)):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(cc.tensor(inputs[chosen])), cc.tensor(labels[chosen]))
            loss.backward()
            optimizer.step()
            total += loss.item() * len(chosen)
        with cc.no_grad():
            accuracy = float((model(cc.tensor(held_out[0])).argmax(1).numpy() == held_out[1]).mean())
        print(f"epoch {epoch + 1:2}: loss {total / len(order):.3f}, {accuracy:.1%} of the held-out examples right")
    return accuracy
