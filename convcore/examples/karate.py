"""Who joins whom? A graph network on Zachary's karate club: `python -m convcore.examples.karate`.

A club of 34 members with 78 friendships splits after a quarrel between the instructor and the administrator. Only the
sides of these two are known to the network. Two graph convolutions carry these labels along the friendships and
predict the side of everybody else.

Sources: W. Zachary, "An Information Flow Model for Conflict and Fission in Small Groups" (1977), for the data; T. Kipf
and M. Welling, "Semi-Supervised Classification with Graph Convolutional Networks" (2017), for the network.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse

import convcore
from convcore import nn
from convcore.nn import functional as F
from convcore.nn.graph import GCNConv, gcn_matrix
from convcore.ops.linear.sparse import SparseMatrix
from convcore.optim import Adam
from convcore.tensor import Tensor

# Member -> friends with higher numbers.
FRIENDS = {
    0: [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 17, 19, 21, 31], 1: [2, 3, 7, 13, 17, 19, 21, 30],
    2: [3, 7, 8, 9, 13, 27, 28, 32], 3: [7, 12, 13], 4: [6, 10], 5: [6, 10, 16], 6: [16], 8: [30, 32, 33], 9: [33],
    13: [33], 14: [32, 33], 15: [32, 33], 18: [32, 33], 19: [33], 20: [32, 33], 22: [32, 33],
    23: [25, 27, 29, 32, 33], 24: [25, 27, 31], 25: [31], 26: [29, 33], 27: [33], 28: [31, 33], 29: [32, 33],
    30: [32, 33], 31: [32, 33], 32: [33],
}  # fmt: skip
ADMINISTRATORS_SIDE = [9, 14, 15, 18, 20, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33]
MEMBERS, INSTRUCTOR, ADMINISTRATOR = 34, 0, 33


def adjacency() -> scipy.sparse.csr_array:
    """(34, 34), 1 where two members are friends."""
    pairs = np.array([(i, j) for i, friends in FRIENDS.items() for j in friends]).T
    one_way = scipy.sparse.coo_array((np.ones(pairs.shape[1]), tuple(pairs)), (MEMBERS, MEMBERS))
    return (one_way + one_way.T).tocsr()


def sides() -> np.ndarray:
    """(34,): 0 for the instructor's side, 1 for the administrator's."""
    return np.isin(np.arange(MEMBERS), ADMINISTRATORS_SIDE).astype(np.int64)


class Club(nn.Module):
    """Two graph convolutions. A member's only feature is its identity, so the first layer learns a row for each."""

    def __init__(self, hidden: int = 8):
        super().__init__()
        self.conv1 = GCNConv(MEMBERS, hidden)
        self.conv2 = GCNConv(hidden, 2)

    def forward(self, x: Tensor, matrix: SparseMatrix) -> Tensor:
        return self.conv2(F.relu(self.conv1(x, matrix)), matrix)


def train(seed: int = 0, steps: int = 100) -> np.ndarray:
    """Train from two labels; return the predicted side of each member, (34,)."""
    convcore.manual_seed(seed)
    model, matrix, x = Club(), gcn_matrix(adjacency()), convcore.eye(MEMBERS)
    known = convcore.tensor([INSTRUCTOR, ADMINISTRATOR])
    labels = convcore.tensor(sides()[[INSTRUCTOR, ADMINISTRATOR]])
    optimizer = Adam(model.parameters(), lr=0.02, weight_decay=5e-4)
    for _ in range(steps):
        loss = F.cross_entropy(model(x, matrix)[known], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with convcore.no_grad():
        return model(x, matrix).argmax(1).numpy()


def main() -> None:
    """Train, and print the members whose side was predicted wrongly."""
    guesses, truth = train(), sides()
    wrong = np.flatnonzero(guesses != truth)
    print(f"{MEMBERS - len(wrong)} of {MEMBERS} members on the right side, from two known ones")
    if len(wrong):
        print("wrong:", ", ".join(map(str, wrong)))


if __name__ == "__main__":
    main()
