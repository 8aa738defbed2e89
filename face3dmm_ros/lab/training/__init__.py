"""How networks are trained: recipes, losses, data, and the one trainer."""
