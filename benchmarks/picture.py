"""One picture of a stored result: the ratio of every row with its spread, and the roofline. Needs matplotlib."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from benchmarks.report import CHOICES

AHEAD, BEHIND, LINE = "tab:blue", "tab:red", "tab:gray"


def draw(result: dict, path: str | os.PathLike[str]) -> None:
    """Draw the rows with the most threads that compare with other libraries, in the format of the file's ending.

    Raises:
        ImportError: matplotlib is not installed.
    """
    # Figure without pyplot, which would look for a window system.
    from matplotlib.figure import Figure

    machine = max(result["machine"], key=lambda machine: machine["threads"])
    rows = [row for row in result["rows"] if row["threads"] == machine["threads"] and row["group"] != CHOICES]
    compared = [(row, rival) for row in rows for rival in row["rivals"]]
    figure = Figure(figsize=(14, max(5.0, 1.5 + 0.16 * len(compared))), layout="constrained")
    left, right = figure.subplots(1, 2)
    _ratios(left, compared)
    single = [row for row in rows if row["flops"] and row["traffic"] and row["work"] != "all passes"]
    _roofline(right, single, machine)
    figure.suptitle(f"{machine['cpu']}, {machine['threads']} threads, {result['date']}")
    figure.savefig(path, dpi=120)


def _ratios(axes: Any, compared: Sequence[tuple[dict, dict]]) -> None:
    for position, (_, rival) in enumerate(compared):
        ratio = rival["ratio"]
        spread = [[ratio["median"] - ratio["low"]], [ratio["high"] - ratio["median"]]]
        color = AHEAD if ratio["median"] >= 1 else BEHIND
        axes.errorbar(ratio["median"], position, xerr=spread, fmt="o", markersize=3, color=color, capsize=2)
    labels = [f"{row['case']} {row['work']} / {rival['name']}" for row, rival in compared]
    axes.set_yticks(range(len(compared)), labels, fontsize=6)
    axes.invert_yaxis()
    axes.set_xscale("log", base=2)
    axes.axvline(1, color=LINE)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("ratio rival / convcore, median and quartiles (right of 1: convcore is ahead)")


def _roofline(axes: Any, rows: Sequence[dict], machine: dict) -> None:
    """GFLOP/s over the FLOP per byte that must at least be moved; the lines are the machine's limits."""
    peak, bandwidth = machine["gflops_peak"], machine["copy_gb_per_second"]
    intensities = [row["flops"] / row["traffic"] for row in rows]
    ridge = peak / bandwidth
    ends = [min([ridge / 16, *intensities]), max([ridge * 16, *intensities])]
    axes.plot([ends[0], ridge, ends[1]], [ends[0] * bandwidth, peak, peak], color=LINE)
    for row, intensity in zip(rows, intensities, strict=True):
        rate = row["flops"] / row["convcore"]["median"] / 1e9
        behind = any(rival["ratio"]["median"] < 1 for rival in row["rivals"])
        axes.plot(intensity, rate, "o", markersize=4, color=BEHIND if behind else AHEAD)
        axes.annotate(f"{row['case']} {row['work']}", (intensity, rate), fontsize=5, alpha=0.7)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xlabel("FLOP per byte")
    axes.set_ylabel("GFLOP/s")
    axes.set_title(f"roofline: {peak:.0f} GFLOP/s, {bandwidth:.1f} GB/s", fontsize=9)
    axes.grid(alpha=0.3)
