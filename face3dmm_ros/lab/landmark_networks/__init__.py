"""How the networks and tables of landmarks are made and measured."""
