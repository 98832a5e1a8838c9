"""Sound: what FluidSynth and a sound font make of notes, and how loud that is."""
