"""Attention as layers.

multi_head    multi-head attention
transformer   what transformers are built from: encoders and decoders of attention and dense layers
"""
