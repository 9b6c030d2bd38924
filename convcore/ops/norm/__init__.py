"""Normalisation.

batch_norm          batch norm: formulas, statistics, the public function
fused               batch norm alone or with the ReLU and max pooling after it, as one Function
layer_norm          layer norm, RMS norm, group norm
instance_norm       instance norm, local response norm
reparametrisation   weight norm, spectral norm
"""
