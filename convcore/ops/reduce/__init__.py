"""Reductions, scans, sorting and distances.

functions              sum, mean, max, argmax, all, any
statistics, histogram  variance, median, quantile, correlation; counts
scan, gradient         cumulative sums and extremes; finite differences
sorting                sort, topk, unique, searchsorted
vector_norm, distance  ||x||_p, distances, angles
"""
