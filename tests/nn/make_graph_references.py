"""Write graph_references.npz: what torch_geometric's layers compute, for runs of the suite without it.

    python -m pip install torch_geometric && python tests/nn/make_graph_references.py

The file records the version. Edges are weighted and directed, one node has none and one has a loop of its own.
"""

import importlib
from pathlib import Path

import numpy as np
import torch

PATH = Path(__file__).with_name("graph_references.npz")
NODES, C_IN, C_OUT = 12, 5, 3
LAYERS = {
    "GCNConv": {"plain": {}, "no_bias": {"bias": False}},
    "SAGEConv": {"plain": {}, "normalize": {"normalize": True}, "no_root": {"root_weight": False}},
}


def main() -> None:
    torch_geometric = importlib.import_module("torch_geometric")
    rng = np.random.default_rng(0)
    adjacency = np.where(rng.random((NODES, NODES)) < 0.3, rng.random((NODES, NODES)), 0)
    adjacency[:, 4] = adjacency[4] = 0
    adjacency[2, 2] = 0.5
    x, cotangent = rng.standard_normal((NODES, C_IN)), rng.standard_normal((NODES, C_OUT))
    arrays = {"version": np.array(torch_geometric.__version__), "adjacency": adjacency, "x": x, "cotangent": cotangent}
    target, source = np.nonzero(adjacency)
    edges, weights = torch.tensor(np.stack([source, target])), torch.tensor(adjacency[target, source])
    torch.manual_seed(0)
    for name, variants in LAYERS.items():
        for variant, settings in variants.items():
            layer = getattr(torch_geometric.nn, name)(C_IN, C_OUT, **settings).double()
            inputs = torch.tensor(x, requires_grad=True)
            out = layer(inputs, edges, weights) if name == "GCNConv" else layer(inputs, edges)
            out.backward(torch.tensor(cotangent))
            results = {"out": out, "grad_x": inputs.grad}
            for key, parameter in layer.named_parameters():
                with torch.no_grad():
                    results[f"state/{key}"], results[f"grad/{key}"] = parameter, parameter.grad
            for key, value in results.items():
                arrays[f"{name}/{variant}/{key}"] = value.detach().numpy()
    np.savez_compressed(PATH, allow_pickle=False, **arrays)
    print(f"{PATH.name}: {len(arrays)} arrays, {PATH.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
