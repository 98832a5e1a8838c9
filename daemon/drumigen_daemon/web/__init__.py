"""The web process: the panel and the API; nobody waits for it."""
