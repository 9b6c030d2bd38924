"""What is measured: one module for each group of `python -m benchmarks`, with the group's cases and a function `rows`.

`rows(cases, rounds, threads)` yields the rows of a result; `benchmarks.run` lists the groups.

    conv        convolution layers of known networks, each pass
    ops         the layers around them, losses, optimiser steps
    nets        whole networks: inference and a training step
    children    `start` and `memory`: what a new process needs; the process itself is in child.py
    algorithms  every algorithm that can compute a convolution, around the thresholds of the selection
"""
