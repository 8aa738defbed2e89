"""Avatars from glTF and VRM files."""
