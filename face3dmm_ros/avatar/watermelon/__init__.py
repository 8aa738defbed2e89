"""A watermelon that wears the face."""
