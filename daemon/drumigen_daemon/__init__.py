"""The daemon: when drumigen's bars are played, through which port, and who asks."""
