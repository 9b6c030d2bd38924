"""Optimizer steps: one pass over parameter, gradient and state, in place.

    sgd_adam.py  SGD, momentum, Adam, AdamW, AMSGrad
    adaptive.py  RMSprop, Adagrad, Adadelta, Adamax, NAdam, RAdam, Rprop

Arrays are flat and of one dtype, settings are scalars of that dtype, prepared by `convcore/optim`.
"""
