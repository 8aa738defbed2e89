"""From the expression of a model to the weights that move an avatar."""
