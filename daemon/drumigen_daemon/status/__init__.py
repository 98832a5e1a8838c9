"""How it goes, told to a terminal, Prometheus and systemd."""
