"""Pixels → parameters: networks, losses, data, training, export."""
