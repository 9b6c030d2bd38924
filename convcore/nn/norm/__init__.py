"""Normalisation as layers.

batch_norm   statistics of the batch, which may be kept for evaluation; instance norm
layer_norm   statistics of each sample alone: layer norm, RMS norm, group norm, local response norm
"""
