"""Driving avatars of other programs over the network."""
