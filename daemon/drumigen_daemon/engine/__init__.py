"""The engine's process: MIDI ports, clock, transport, and notes that leave on time."""
