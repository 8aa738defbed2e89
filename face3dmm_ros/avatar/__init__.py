"""Parameters to another face: blendshape weights, and the avatars that they move."""
