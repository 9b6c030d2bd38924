"""How many parts, and which: `ceil_div`, and splits into parts whose sizes differ by one at most.

Even parts waste least: 14 rows as 7 + 7 keep the FMA units busier than 12 + 2.
"""

from llvmlite import ir

from kernels.jit import inline

_INT = ir.IntType(64)


@inline
def ceil_div(a, b):
    """a / b rounded up, for b > 0."""
    return (a + b - 1) // b


@inline
def split_evenly(total, parts, index):
    """The range [begin, end) of part `index` when `total` items are split into `parts` as evenly as possible."""
    size = total // parts
    larger = total % parts
    begin = index * size + min(index, larger)
    return begin, begin + size + (1 if index < larger else 0)


def emit_split(builder, total, most):
    """The same in LLVM IR, for the fewest parts of at most `most` items each.

    Returns how many parts, and a function that emits the size of a part from its index. The first parts are larger.
    """
    parts = builder.sdiv(builder.add(total, builder.sub(most, _INT(1))), most)
    smallest = builder.sdiv(total, builder.select(builder.icmp_signed(">", parts, _INT(0)), parts, _INT(1)))
    larger = builder.sub(total, builder.mul(smallest, parts))  # this many parts have one item more
    return parts, lambda index: builder.add(smallest, builder.zext(builder.icmp_signed("<", index, larger), _INT))
