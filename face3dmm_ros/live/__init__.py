"""A live run: its processes, what watches it, and its recording."""
