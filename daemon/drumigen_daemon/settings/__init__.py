"""What can be set before the daemon starts, where it is read from, and where things are kept."""
