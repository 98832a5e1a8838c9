"""Songs, and Standard MIDI Files of them."""
