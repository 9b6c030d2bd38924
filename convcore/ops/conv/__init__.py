"""Convolution: its functions, its geometry, its algorithms."""
