"""Einstein summation: products of tensors summed over the letters that the result does not have.

Operands are joined from left to right. Two of them are brought into the form of a batch of matrices, (batch, rows,
depth) and (batch, depth, columns): batch are the letters that both have and that are still needed, depth those that
both have and nobody needs any more. So every step is a matrix product, and the gradients are those of `matmul`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from convcore.errors import ShapeError
from convcore.ops.core.dtypes import as_tensors
from convcore.ops.linear.matmul import matmul
from convcore.ops.shape.views import permute, reshape

if TYPE_CHECKING:
    from convcore.tensor import Tensor

Labels = list[Any]


def einsum(*args: Any) -> Tensor:
    """einsum("bij,bjk->bik", a, b): the sum of products over all letters that do not stand behind the arrow.

    Without an arrow the result has the letters that occur once, in alphabetical order. `...` stands for axes that
    broadcast. Also einsum(a, [0, 1], b, [1, 2], [0, 2]), and the operands as one list.
    """
    inputs, output, operands = _parsed(args)
    if len(inputs) != len(operands):
        raise ShapeError(f"einsum: the equation has {len(inputs)} operands, but {len(operands)} were given")
    labels = []
    for position, (names, operand) in enumerate(zip(inputs, operands, strict=True)):
        labels.append(_spread(names, operand.array.ndim, position))
    out = _result(labels, output)
    sizes = _sizes(labels, operands)
    unknown = [name for name in out if name not in sizes]
    if unknown or len(set(out)) != len(out):
        raise ShapeError(f"einsum: each letter of the result must occur once there, and in an operand; got {output}")
    a, names = _without_repeats(operands[0], labels[0])
    for position in range(1, len(operands)):
        later = {name for following in labels[position + 1 :] for name in following} | set(out)
        b, others = _without_repeats(operands[position], labels[position])
        a, names = _joined(a, names, b, others, later)
    a, names = _summed(a, names, set(out))
    # Axes that broadcast may have been left out where their size is 1.
    a = reshape(a, [*a.array.shape, *[1 for name in out if name not in names]])
    names = [*names, *[name for name in out if name not in names]]
    return permute(a, [names.index(name) for name in out])


def _parsed(args: tuple[Any, ...]) -> tuple[list[Labels], Labels | None, list[Any]]:
    """The labels of each operand, those of the result or None, and the operands."""
    if not args:
        raise ShapeError("einsum: needs an equation and at least one operand")
    if not isinstance(args[0], str):
        pairs = len(args) // 2
        inputs = [_from_numbers(names) for names in args[1 : 2 * pairs : 2]]
        output = _from_numbers(args[-1]) if len(args) % 2 else None
        return inputs, output, list(args[: 2 * pairs : 2])
    operands = list(args[1]) if len(args) == 2 and isinstance(args[1], (list, tuple)) else list(args[1:])
    if not operands:
        raise ShapeError("einsum: needs at least one operand")
    left, arrow, right = args[0].replace(" ", "").partition("->")
    return [_letters(part) for part in left.split(",")], _letters(right) if arrow else None, operands


def _letters(text: str) -> Labels:
    names: Labels = list(text.replace("...", "."))
    wrong = [n for n in names if not (n.isascii() and n.isalpha()) and n != "."]
    if wrong or names.count(".") > 1 or "." in text.replace("...", ""):
        raise ShapeError(f"einsum: only letters and one ... may name axes, got {text!r}")
    return ["..." if n == "." else n for n in names]


def _from_numbers(names: Any) -> Labels:
    for name in names:
        if name is not Ellipsis and not 0 <= name < 52:
            raise ShapeError(f"einsum: axes are numbered from 0 to 51, got {name}")
    return ["..." if n is Ellipsis else chr(n + (65 if n < 26 else 71)) for n in names]


def _spread(names: Labels, ndim: int, position: int) -> Labels:
    """The labels of an operand with ... replaced by one label per axis, counted from the last."""
    extra = ndim - (len(names) - ("..." in names))
    if extra < 0 or (extra > 0 and "..." not in names):
        raise ShapeError(
            f"einsum: operand {position} has {ndim} axes, which {''.join(map(str, names))!r} does not name"
        )
    result: Labels = []
    for name in names:
        result.extend([name] if name != "..." else [-i for i in range(extra, 0, -1)])
    return result


def _result(labels: list[Labels], output: Labels | None) -> Labels:
    """The labels of the result; axes that broadcast come where its ... stands, or first."""
    flat = [name for names in labels for name in names]
    broadcast = sorted({name for name in flat if isinstance(name, int)})
    if output is None:
        return [*broadcast, *sorted(name for name in set(flat) if isinstance(name, str) and flat.count(name) == 1)]
    result: Labels = []
    for name in output:
        result.extend(broadcast if name == "..." else [name])
    return result


def _sizes(labels: list[Labels], operands: list[Any]) -> dict[Any, int]:
    """The size that each label stands for; a size of 1 broadcasts."""
    sizes: dict[Any, int] = {}
    for names, operand in zip(labels, operands, strict=True):
        for name, size in zip(names, operand.array.shape, strict=True):
            known = sizes.get(name, 1)
            if size != known and 1 not in (size, known):
                raise ShapeError(f"einsum: the letter {name!r} stands for axes of sizes {known} and {size}")
            sizes[name] = size if known == 1 else known
    return sizes


def _without_repeats(operand: Any, names: Labels) -> tuple[Any, Labels]:
    """The diagonal of axes that have the same letter."""
    names = list(names)
    for name in dict.fromkeys(names):
        while names.count(name) > 1:
            first = names.index(name)
            second = names.index(name, first + 1)
            if operand.array.shape[first] != operand.array.shape[second]:
                raise ShapeError(f"einsum: a repeated letter {name!r} needs equal sizes, got {operand.array.shape}")
            operand = operand.diagonal(0, first, second)
            names = [n for i, n in enumerate(names) if i not in (first, second)] + [name]
    return operand, names


def _summed(a: Any, names: Labels, needed: set[Any]) -> tuple[Any, Labels]:
    """The sum over letters that nobody needs: of integers int64, as every sum."""
    dims = [i for i, name in enumerate(names) if name not in needed]
    return (a.sum(dims) if dims else a), [name for name in names if name in needed]


def _joined(a: Any, names: Labels, b: Any, others: Labels, later: set[Any]) -> tuple[Any, Labels]:
    """The product of two operands, summed over what is not needed later."""
    a, names = _unstretched(a, names, b, others)
    b, others = _unstretched(b, others, a, names)
    a, names = _summed(a, names, later | set(others))
    b, others = _summed(b, others, later | set(names))
    a, b = as_tensors("einsum", a, b)
    both = [name for name in names if name in others]
    batch, depth = [n for n in both if n in later], [n for n in both if n not in later]
    rows, columns = [n for n in names if n not in both], [n for n in others if n not in both]
    size = {**dict(zip(others, b.array.shape, strict=True)), **dict(zip(names, a.array.shape, strict=True))}

    def count(part: Labels) -> int:
        return math.prod([size[name] for name in part])

    left = permute(a, [names.index(n) for n in batch + rows + depth])
    right = permute(b, [others.index(n) for n in batch + depth + columns])
    product = matmul(
        reshape(left, count(batch), count(rows), count(depth)),
        reshape(right, count(batch), count(depth), count(columns)),
    )
    result = batch + rows + columns
    return reshape(product, [size[name] for name in result]), result


def _unstretched(a: Any, names: Labels, b: Any, others: Labels) -> tuple[Any, Labels]:
    """Without axes of size 1 that broadcast against longer ones of the other operand."""
    dropped = [
        i for i, name in enumerate(names)
        if a.array.shape[i] == 1 and name in others and b.array.shape[others.index(name)] != 1
    ]  # fmt: skip
    if not dropped:
        return a, names
    return a.squeeze(dropped), [name for i, name in enumerate(names) if i not in dropped]
