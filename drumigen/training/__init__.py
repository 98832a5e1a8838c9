"""How the shipped drummer was trained, and how anybody can train another: needs numpy and torch."""
