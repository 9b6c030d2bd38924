"""Markdown tables of a stored result. They contain every row; where convcore is behind, the ratio is in bold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.timing import geometric_mean

Cells = Sequence[str]

CHOICES = "algorithms"  # the group whose rivals are the algorithms that were not chosen
TOLERATED_LOSS = 1.1


def tables(result: dict) -> str:
    """All tables of a result, one for each group and number of threads, under a line that says where it ran."""
    lines = list(_heading(result))
    peaks = {machine["threads"]: machine for machine in result["machine"]}
    for group in dict.fromkeys(row["group"] for row in result["rows"]):
        for threads in peaks:
            rows = [row for row in result["rows"] if (row["group"], row["threads"]) == (group, threads)]
            if rows:
                lines += ["", f"### {group}, {_threads(threads)}", ""]
                if group == CHOICES:
                    lines += [*_choices(rows), "", _losses(rows)]
                else:
                    lines += [*_table(rows, peaks[threads]), "", *_means(rows)]
    return "\n".join(lines).rstrip() + "\n"


def summary(result: dict) -> str:
    """What RESULTS.md shows: the means of every group with the most threads, and all rows of the networks."""
    lines = list(_heading(result))
    machine = max(result["machine"], key=lambda machine: machine["threads"])
    for group in dict.fromkeys(row["group"] for row in result["rows"]):
        rows = [row for row in result["rows"] if (row["group"], row["threads"]) == (group, machine["threads"])]
        table = ["", *_table(rows, machine)] if group == "nets" else []
        means = [_losses(rows)] if group == CHOICES else _means(rows)
        lines += ["", f"**{group}**, {_threads(machine['threads'])}:", *table, "", *means]
    return "\n".join(lines).rstrip() + "\n"


def _heading(result: dict) -> Iterator[str]:
    machine = result["machine"][0]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    yield f"{machine['cpu']} ({machine['vector_unit']}), {result['system']}; {versions}; {result['date']}."
    for machine in result["machine"]:
        yield (
            f"Measured with {_threads(machine['threads'])}: {machine['gflops_peak']:.0f} GFLOP/s of multiply-adds, "
            f"{machine['copy_gb_per_second']:.1f} GB/s of copying."
        )
    yield (
        f"Medians of {result['rounds']} rounds. Ratio: the rival's time or memory over convcore's, median and "
        "quartiles; above 1 convcore is ahead, **bold** where it is behind."
    )


def _threads(number: int) -> str:
    return f"{number} thread" if number == 1 else f"{number} threads"


def _table(rows: Sequence[dict], machine: dict) -> Iterator[str]:
    """Columns for rates and rivals appear where a row of the table has them."""
    rivals = list(dict.fromkeys(rival["name"] for row in rows for rival in row["rivals"]))
    has_flops, has_traffic = any(row["flops"] for row in rows), rows[0]["group"] == "ops"
    heading = ["case", "", "convcore"]
    heading += ["GFLOP/s", "of the peak"] if has_flops else []
    heading += ["of the copy bandwidth"] if has_traffic else []
    heading += [text for name in rivals for text in (name, "ratio")]
    yield _line(heading)
    yield _line(["---", "---", *["---:"] * (len(heading) - 2)])
    for row in rows:
        seconds = row["convcore"]["median"]
        cells = [row["case"], row["work"], amount(seconds, row["unit"])]
        if has_flops:
            rate = (row["flops"] or 0) / seconds / 1e9
            cells += [f"{rate:.0f}", f"{rate / machine['gflops_peak']:.0%}"] if row["flops"] else ["", ""]
        if has_traffic:
            cells += [f"{row['traffic'] / seconds / 1e9 / machine['copy_gb_per_second']:.0%}"]
        for name in rivals:
            rival = next((rival for rival in row["rivals"] if rival["name"] == name), None)
            cells += _rival(rival, row["unit"]) if rival else ["", ""]
        yield _line(cells)


def _rival(rival: dict, unit: str) -> Cells:
    variant = f" ({rival['variant']})" if rival["variant"] else ""
    ratio = rival["ratio"]
    median = f"**{ratio['median']:.2f}**" if ratio["median"] < 1 else f"{ratio['median']:.2f}"
    return [amount(rival["value"]["median"], unit) + variant, f"{median} ({ratio['low']:.2f}-{ratio['high']:.2f})"]


def _means(rows: Sequence[dict]) -> Iterator[str]:
    """The geometric mean of the ratios for each kind of work and rival, and in how many rows convcore is behind."""
    ratios: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        for rival in row["rivals"]:
            ratios.setdefault((row["work"], rival["name"]), []).append(rival["ratio"]["median"])
    for (work, name), values in ratios.items():
        behind = sum(value < 1 for value in values)
        rest = f"behind in {behind} of {len(values)}" if behind else f"ahead in all {len(values)}"
        yield f"- {work} against {name}: geometric mean {geometric_mean(values):.2f}, {rest}"


def _loss(row: dict) -> tuple[float, str]:
    """The time of the chosen algorithm over that of the fastest one, and the name of the fastest."""
    others = [(1 / rival["ratio"]["median"], rival["name"]) for rival in row["rivals"]]
    return max([(1.0, row["chosen"]), *others])


def _choices(rows: Sequence[dict]) -> Iterator[str]:
    """What was chosen, what was fastest, the loss, and the others' times in units of the chosen one's."""
    yield _line(["case", "", "chosen", "time", "fastest", "loss", "the others"])
    yield _line(["---", "---", "---", "---:", "---", "---:", "---"])
    for row in rows:
        loss, fastest = _loss(row)
        others = ", ".join(f"{rival['name']} {rival['ratio']['median']:.2f}" for rival in row["rivals"])
        cells = [row["case"], row["work"], row["chosen"], amount(row["convcore"]["median"], row["unit"]), fastest]
        yield _line([*cells, f"**{loss:.2f}**" if loss > TOLERATED_LOSS else f"{loss:.2f}", others])


def _losses(rows: Sequence[dict]) -> str:
    losses = [_loss(row)[0] for row in rows]
    large = sum(loss > TOLERATED_LOSS for loss in losses)
    return (
        f"- {large} of {len(losses)} choices took more than {TOLERATED_LOSS:.2f} times as long as the fastest "
        f"algorithm did; geometric mean {geometric_mean(losses):.3f}, largest {max(losses):.2f}"
    )


def amount(value: float, unit: str) -> str:
    """A time or an amount of memory, in a unit that gives a short number."""
    scales = [(1, "s"), (1e-3, "ms"), (1e-6, "us")] if unit == "s" else [(2.0**20, "MiB"), (2.0**10, "KiB")]
    scale, name = next(((s, n) for s, n in scales if value >= s), scales[-1])
    return f"{value / scale:.3g} {name}" if value / scale < 1000 else f"{value / scale:.0f} {name}"


def _line(cells: Cells) -> str:
    return f"| {' | '.join(cells)} |"
