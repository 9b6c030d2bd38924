"""Image operations without weights.

pad             constant, reflect, replicate, circular
interpolate     nearest, linear, cubic, area
resample        sparse linear maps along one axis, used by padding and interpolation
pixel_shuffle   rearranging channels and pixels; unfold and fold
grid_sample     images sampled at given positions
"""
