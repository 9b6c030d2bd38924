"""Random programs that torch and convcore must run with the same results.

    python tests/fuzz/programs.py --programs 1000 --kind training --seed 0

writes 1000 programs of a kind, from the seeds 0, 1, .., and runs each with both libraries:

    training    networks, losses, backward passes, optimisers, and what people do between them
    inference   evaluation without gradients, with changes between evaluations
    compiled    `convcore.compile`, whose results must be those of the plain model to the bit; warnings are counted

What differs is reported as a small program, the lines of which that do not matter left out. Of random numbers nothing
is compared with torch, which draws others. `KNOWN` lists differences that are documented.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import torch
from random_programs import compiled, inference, training
from random_programs.compare import Difference, known, same_bits, with_torch
from random_programs.shrink import shrunk
from random_programs.source import Program, run
from random_programs.writer import AbandonedError, Writer

import convcore

ATTEMPTS = 200  # to write a program from one seed
KINDS = {"training": training.write, "inference": inference.write, "compiled": compiled.write}
SINGLE = {"training": 0.25, "inference": 0.6, "compiled": 0.5}  # of the programs that are in float32
KNOWN = {  # a piece of what convcore says, and why that is so
    "a recorded in-place change of memory that is shared with a view": "changes of views are refused, as documented",
    "memory is read-only (an expanded or foreign array)": "expanded tensors are not changed in place",
    "Parameter: data must be a tensor, got NoneType": "torch makes an empty parameter of None",
    "all tensors must have one dtype": "layers do not mix dtypes",
    "weight must have one element for each": "torch takes a weight of any shape with as many elements",
    "uint8 may mean positions or a mask": "torch takes bytes for a mask, and warns",
    "a bool tensor has no order": "torch clamps bools",
    "input must have 4 axes (N, C, H, W) or 3": "torch pools what has 2 axes",
    "float64 (0,) for torch's int64 (0,)": "torch counts nothing in int64, whatever the weights are",
    "take_along_dim: index must be from": "torch reads beside the tensor",
    "weight must have 2 axes (C_out, C_in)": "torch takes a weight of one axis, without a bias",
    "an integer is divided by zero": "torch does not look at the divisor where there is nothing to divide",
    "must be float32 or float64": "torch computes nothing of integers where there is nothing to compute",
    "alpha must be an integer for operands of int64": "torch cuts factors of integers",
    "index must be an integer tensor": "torch does not look at the dtype of an empty index",
    "gather: index must have the input's number of axes": "torch does not look at the axes of an empty index",
    "from_numpy: dtype must be one of": "there are no floats of 16 bits",
    "labels must have input's shape": "torch takes a label of shape (1,) for an input without a batch",
    "searchsorted: both must have one dtype": "torch does not look at the dtypes where one has no axes, or is empty",
    "index must hold integers": "torch does not look at the dtype of an empty index",
    "does not fit into": "torch wraps numbers that an integer type does not hold",
}


@dataclass
class Finding:
    """A program that fails, as small as it could be made."""

    kind: str
    seed: int
    program: Program
    difference: Difference

    def __str__(self) -> str:
        head = f"{self.kind} {self.seed} ({self.program.dtype}): {self.difference.kind}: {self.difference.text}"
        return "\n".join([head, *[f"    {line}" for line in self.program.lines]])


def written(kind: str, seed: int) -> Program:
    """The program of a seed. Its form is chosen first, so that attempts that fail do not favour small ones."""
    form = np.random.default_rng((seed, 0))
    dtype = "float32" if form.random() < SINGLE[kind] else "float64"
    size = int(form.choice([1, 2, 3, 4, 5, 6, 8, 10]))
    for attempt in range(ATTEMPTS):
        steps = max(1, size - attempt // 20)
        try:
            return KINDS[kind](Writer((seed, attempt), dtype, steps, records=kind == "training"))
        except AbandonedError:
            continue
    raise AssertionError(f"no {kind} program for seed {seed}")


def judge(kind: str, program: Program, counts: Counter[str] | None = None) -> Difference | None:
    """What is wrong with a program, or None."""
    plain = run(program, convcore)
    if kind == "compiled":
        listed = run(program, convcore, compile=convcore.compile)
        difference = same_bits(listed, plain) or compiled.wrong_warnings(program, listed, plain)
        if difference is not None:
            return difference
        if counts is not None:
            counts.update(["warned" if listed.warned else "compiled"])
        if compiled.draws(program):
            return None
    return with_torch(program, plain)


def check(kind: str, seed: int, counts: Counter[str] | None = None) -> Finding | None:
    """Write a program and run it; a finding if it fails."""
    program = written(kind, seed)
    difference = judge(kind, program, counts)
    if difference is None:
        return None
    reason = known(difference, KNOWN)
    if reason is not None:
        if counts is not None:
            counts.update([f"known: {reason}"])
        return None
    last = [difference]

    def fails(smaller: Program) -> bool:
        found = judge(kind, smaller)
        if found is None or found.kind != difference.kind or known(found, KNOWN) is not None:
            return False
        last[0] = found
        return True

    return Finding(kind, seed, shrunk(program, fails), last[0])


def main(arguments: list[str] | None = None) -> int:
    """Run the programs; 1 if one fails."""
    parser = argparse.ArgumentParser(description="Run random programs with torch and convcore.")
    parser.add_argument("--kind", choices=[*KINDS, "all"], default="all")
    parser.add_argument("--programs", type=int, default=100, help="how many of each kind")
    parser.add_argument("--seed", type=int, default=0, help="of the first program")
    parser.add_argument("--show", action="store_true", help="print the programs and do not run them")
    settings = parser.parse_args(arguments)
    torch.set_num_threads(1)
    found = 0
    for kind in [settings.kind] if settings.kind != "all" else KINDS:
        start, counts = time.perf_counter(), Counter()
        for seed in range(settings.seed, settings.seed + settings.programs):
            if settings.show:
                print(f"# {kind} {seed}\n{written(kind, seed)}\n")
                continue
            finding = check(kind, seed, counts)
            if finding is not None:
                counts.update(["findings"])
                print(finding, flush=True)
        found += counts["findings"]
        told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
        print(f"{kind}: {settings.programs} programs in {time.perf_counter() - start:.0f} s; {told or 'all agree'}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
