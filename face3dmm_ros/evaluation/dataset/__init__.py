"""How well labelled pictures are fitted."""
