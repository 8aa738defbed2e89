"""A painted character that the face moves."""
