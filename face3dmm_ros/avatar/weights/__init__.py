"""From a model's expression coefficients to the weights that drive an avatar."""
