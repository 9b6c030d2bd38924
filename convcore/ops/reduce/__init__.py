"""Many elements become one, or are put in order.

functions              sum, mean, max, argmax, all, any
statistics, histogram  variance, median, quantile, correlation; counts
scan, gradient         running sums and extremes; differences of neighbours
sorting                sort, topk, unique, searchsorted
vector_norm, distance  ||x||_p, distances, angles
"""
