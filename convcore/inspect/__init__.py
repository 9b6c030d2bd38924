"""Looking inside: named filters and the sum over one patch.

Everything here is plain Python on arrays and models; `convcore explore` shows it in a browser.
"""

from convcore.inspect.filters import FILTERS, Filter, gabor
from convcore.inspect.window import Window, geometry_of, nearest_output, output_size, window

__all__ = ["FILTERS", "Filter", "Window", "gabor", "geometry_of", "nearest_output", "output_size", "window"]
