"""Listening: the song sounds through FluidSynth, in a process that the beat does not depend on."""
