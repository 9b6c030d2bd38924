"""Normalisation.

batch_norm          batch norm: formulas, statistics, the public function
fused               batch norm, alone or fused with the ReLU and max pooling that follow, as one Function
layer_norm          layer norm, RMS norm, group norm
instance_norm       instance norm, local response norm
reparametrisation   weight norm, spectral norm
"""
