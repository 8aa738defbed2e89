"""Blendshape weights of fitted faces, and the avatars that they drive."""
