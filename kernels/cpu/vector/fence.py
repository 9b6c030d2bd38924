"""Arithmetic fences: an expression that is computed as it is written.

The compiler may reorder sums (`reassoc` in kernels/jit.py); only so can a reduction use vectors. But where (x - m) - l
becomes x - (m + l), a large m swallows the digits of l. A fence around x - m prevents that.
"""

from llvmlite import ir
from numba.core import cgutils, types

from kernels.jit import intrinsic


@intrinsic
def fenced(typing_context, value):
    """The value of a float expression, never merged with the operations around it (LLVM's `arithmetic.fence`)."""
    if not isinstance(value, types.Float):
        return None

    def codegen(context, builder, signature, arguments):
        function = ir.FunctionType(arguments[0].type, [arguments[0].type])
        name = f"llvm.arithmetic.fence.f{signature.return_type.bitwidth}"
        return builder.call(cgutils.get_or_insert_function(builder.module, function, name), arguments)

    return value(value), codegen
