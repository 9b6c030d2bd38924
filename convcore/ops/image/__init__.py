"""Images changed without weights.

pad             constant, reflect, replicate, circular
interpolate     nearest, linear, cubic, area
resample        linear maps along one axis, of which padding and interpolation are made
pixel_shuffle   channels and pixels exchanged; unfold and fold
grid_sample     images read at given places
"""
