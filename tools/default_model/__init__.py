"""How the default model is made from MakeHuman's CC0 data: one module per stage, in the order of `build`."""
