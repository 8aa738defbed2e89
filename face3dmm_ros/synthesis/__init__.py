"""Random faces, scenes and sequences with exact truth."""
