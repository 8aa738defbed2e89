"""Synthetic faces in scenes, with exact truth."""
