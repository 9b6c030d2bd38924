"""Write references.json and references.npz: what torchvision's networks are made of, and what they compute.

    python tests/models/make_references.py

Run it where torch and torchvision are installed; the tests need neither of the latter's networks.
"""

import json
import warnings
from pathlib import Path

import numpy as np
import torch
import torchvision
from model_recipe import CASES, CLASSES, STRUCTURES, evaluate, structure, train

FOLDER = Path(__file__).parent


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # googlenet announces another way to initialise
    structures = {}
    for name in STRUCTURES:
        with torch.device("meta"):
            structures[name] = structure(torchvision.models.get_model(name))
    text = json.dumps({"torchvision": torchvision.__version__, "models": structures}, indent=1)
    (FOLDER / "references.json").write_text(text + "\n")
    arrays = {}
    for case in CASES:
        model = getattr(torchvision.models, case.model)(num_classes=CLASSES, **case.settings)
        arrays[f"{case.model}/eval"] = evaluate(torch, model, case, "float64")
        for key, value in train(torch, model, case, "float64").items():
            arrays[f"{case.model}/{key}"] = value
        print(case.model, flush=True)
    np.savez_compressed(FOLDER / "references.npz", allow_pickle=False, **arrays)
    print(f"{len(arrays)} arrays, {(FOLDER / 'references.npz').stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
