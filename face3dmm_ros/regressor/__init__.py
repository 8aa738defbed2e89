"""A trained network at run time: what it is given, what it says, its weights file, its export, and fitters."""
