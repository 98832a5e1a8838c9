"""The MQTT process: speaks to a broker; nobody waits for it."""
