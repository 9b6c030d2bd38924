"""Pretrained weights, and the information that belongs to them.

weights_table   the published files
weights         finding and reading weights files
download        downloading a file, completely or not at all
card            the information in a weights file: network, classes, preprocessing
preprocess      from an image to a network's input
labels          the names of ImageNet's classes
"""
