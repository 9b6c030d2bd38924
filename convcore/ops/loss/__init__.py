"""Losses: forward, and the gradient of the input.

cross_entropy   classifiers: cross-entropy, negative log-likelihood
elementwise     distances between input and target, likelihoods
margin          hinge losses, triplets
ctc             labels without alignment
reduction       the mean, the sum or every element
"""
