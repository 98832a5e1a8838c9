"""The network: what it is, how it is run, and how its weights are read."""
