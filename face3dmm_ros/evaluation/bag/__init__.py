"""How steadily and how well a recorded bag is tracked."""
