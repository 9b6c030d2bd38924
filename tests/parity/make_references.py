"""Write references.npz: what PyTorch computes in the comparison of recipe.py, for runs of the suite without torch.

    python tests/parity/make_references.py

Run it with the torch version of the `test` extra; the file records which one that was.
"""

from pathlib import Path

import numpy as np
import torch
from recipe import NETWORKS, OPTIMISERS, condensed, train

PATH = Path(__file__).with_name("references.npz")


def main() -> None:
    torch.set_num_threads(1)
    arrays = {"torch_version": np.array(torch.__version__)}
    for name in NETWORKS:
        for optimiser in OPTIMISERS:
            for key, value in condensed(train(torch, name, optimiser, "float64")).items():
                arrays[f"{name}/{optimiser}/{key}"] = value
    np.savez_compressed(PATH, allow_pickle=False, **arrays)
    print(f"{PATH.name}: {len(arrays)} arrays, {PATH.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
