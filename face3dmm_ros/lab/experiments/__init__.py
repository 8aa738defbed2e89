"""Measurements that chose a constant or decided a question."""
