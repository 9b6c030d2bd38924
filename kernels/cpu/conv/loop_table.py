"""The columns of the tables that describe how a convolution runs along one axis: a row is a phase, or a span.

    DST        the first destination index; from one destination to the next it advances by `dst_step`
    COUNT      how many destinations; from one to the next the source advances by `src_step`
    FIRST_TAP  the first filter tap, counted in the order of the packed filters
    TAPS       how many taps
    SRC        of spans: the source index that the first destination reads with the first tap

Phases (`direct.py`, `grouped.py`) have the first four columns and find their sources in a list of offsets, one a tap.
"""

from kernels.jit import inline

DST, COUNT, FIRST_TAP, TAPS, SRC = range(5)


@inline
def most_destinations(phases):
    """How many destinations the longest phase has."""
    most = 0
    for p in range(phases.shape[0]):
        most = max(most, phases[p, COUNT])
    return most
