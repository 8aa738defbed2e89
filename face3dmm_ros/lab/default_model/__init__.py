"""How the default model is made."""
