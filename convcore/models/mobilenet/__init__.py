"""The MobileNets, smallest first.

v1_v2   depthwise separable convolutions, then inverted residuals
v3      inverted residuals found by search, with squeeze-and-excitation and hard activations
"""
