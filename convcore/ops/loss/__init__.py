"""Losses: forward, and the gradient of the input.

cross_entropy   classification: cross-entropy, negative log-likelihood
elementwise     regression and likelihoods, elementwise
margin          hinge and triplet losses
ctc             label sequences without alignment
reduction       the argument `reduction`: mean, sum or none
"""
