"""Where the tempo comes from: an incoming MIDI clock, or our own."""
