"""The matrices of Winograd's F(m, 3), from the points at which polynomials are evaluated.

A filter of three taps, reversed, slides over m + 2 inputs and gives m outputs: part of a product of polynomials.
Such a product is known from its values at m + 2 points, the last of them at infinity (the leading coefficient).
Transposing this algorithm (A. Toom and S. Cook's) gives Winograd's: with N_i the product of (p_i - p_j) over j != i,

    A^T[o, i] = p_i^o               values of the outputs' polynomial, and 0 0 .. 1 for infinity
    G[i, t]   = p_i^t / N_i         values of the filter; 0 0 1 for infinity
    B^T[i, d] = coefficient of x^d in the product of (x - p_j) over j != i; over all j for infinity

and Y = A^T [(G g) * (B^T d)]. Small points keep the rounding error small: 0, 1 and -1 for m = 2, and 2 and -2 more for
m = 4. The latter's matrices are those of Lavin and Gray:

          4  0 -5  0  1  0         1/4    0    0         1  1  1  1  1  0
          0 -4 -4  1  1  0        -1/6 -1/6 -1/6         0  1 -1  2 -2  0
    B^T = 0  4 -4 -1  1  0    G = -1/6  1/6 -1/6   A^T = 0  1  1  4  4  0
          0 -2 -1  2  1  0        1/24 1/12  1/6         0  1 -1  8 -8  1
          0  2 -1 -2  1  0        1/24 -1/12 1/6
          0  4  0 -5  0  1           0    0    1

Sources: S. Winograd, "Arithmetic Complexity of Computations" (1980), chapter IV; A. Lavin and S. Gray, "Fast Algorithms
for Convolutional Neural Networks" (2016), section 4.1.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import prod

from kernels.cpu.micro.constant_matmul import Matrix

TAPS = 3
POINTS = {2: (0, 1, -1), 4: (0, 1, -1, 2, -2)}
"""For each m the finite points; p and -p are neighbours: their rows can share sums (`micro/constant_matmul.py`)."""


@dataclass(frozen=True)
class Matrices:
    """B^T, G and A^T in the notation of Lavin and Gray."""

    input: Matrix
    filter: Matrix
    output: Matrix


def _polynomial(roots) -> list[Fraction]:
    """The coefficients of the product of (x - root), that of x^0 first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted, scaled = [Fraction(0), *coefficients], [root * c for c in coefficients]
        coefficients = [a - b for a, b in zip(shifted, [*scaled, 0], strict=True)]
    return coefficients


def winograd_matrices(m: int) -> Matrices:
    """The matrices of F(m, 3)."""
    points = [Fraction(p) for p in POINTS[m]]
    others = [[q for q in points if q != p] for p in points]
    scales = [prod(p - q for q in rest) for p, rest in zip(points, others, strict=True)]

    def at_infinity(length: int) -> list[Fraction]:
        return [Fraction(0)] * (length - 1) + [Fraction(1)]

    values = [[p**o for o in range(m)] for p in points] + [at_infinity(m)]
    filters = [[p**t / n for t in range(TAPS)] for p, n in zip(points, scales, strict=True)] + [at_infinity(TAPS)]
    inputs = [[*_polynomial(rest), Fraction(0)] for rest in others] + [_polynomial(points)]
    return Matrices(tuple(map(tuple, inputs)), tuple(map(tuple, filters)), transposed(values))


def transposed(matrix) -> Matrix:
    """Rows as columns."""
    return tuple(zip(*matrix, strict=True))
