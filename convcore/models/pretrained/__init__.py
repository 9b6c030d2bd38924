"""Weights that were trained by others, and what is known of them.

weights_table   which files there are
weights         finding and reading them
download        fetching one, wholly or not at all
card            what a file says about itself: network, classes, preparation
preprocess      from a picture to a network's input
labels          the names of ImageNet's classes
"""
