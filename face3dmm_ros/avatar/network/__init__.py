"""Avatars in other programs, told over the network."""
