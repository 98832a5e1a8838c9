"""Voices, what they are on a General MIDI kit, and how other kits are mapped."""

from enum import StrEnum


class Voice(StrEnum):
    """One instrument of the drummer; a superset of the nine classes of the Groove MIDI Dataset."""

    KICK = "kick"
    SNARE = "snare"
    SIDE_STICK = "side_stick"
    CLAP = "clap"
    CLOSED_HAT = "closed_hat"
    PEDAL_HAT = "pedal_hat"
    OPEN_HAT = "open_hat"
    LOW_TOM = "low_tom"
    MID_TOM = "mid_tom"
    HIGH_TOM = "high_tom"
    CRASH = "crash"
    SPLASH = "splash"
    CHINA = "china"
    RIDE = "ride"
    RIDE_BELL = "ride_bell"
    COWBELL = "cowbell"
    TAMBOURINE = "tambourine"
    SHAKER = "shaker"
    PERCUSSION = "percussion"
