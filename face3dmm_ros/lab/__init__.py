"""What makes the files that ship, and what measured them. Nothing that tracks a face imports it."""
