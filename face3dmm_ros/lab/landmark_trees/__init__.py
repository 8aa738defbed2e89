"""Grows the trees of `landmarks.regression_trees`."""
