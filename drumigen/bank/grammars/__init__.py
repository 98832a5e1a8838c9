"""Grammars that write bars in the style of three producers, for the bar bank and for training.

Written from what is published about their feel, not from any recording.
"""

from collections.abc import Mapping

from drumigen.bank.grammars import j_dilla, metro_boomin, questlove
from drumigen.bank.grammars.chance import Grammar
from drumigen.bank.grammars.performance import Performer
from drumigen.units import Bpm

GRAMMARS: Mapping[str, Grammar] = {
    "j_dilla": Grammar("j_dilla", Bpm(90.0), j_dilla.phrase, j_dilla.fill),
    "metro_boomin": Grammar("metro_boomin", Bpm(140.0), metro_boomin.phrase, metro_boomin.fill),
    "questlove": Grammar("questlove", Bpm(94.0), questlove.phrase, questlove.fill),
}
"""Who writes the bar banks."""

PERFORMERS: Mapping[str, Performer] = {
    "j_dilla": Performer(j_dilla.idiom, j_dilla.feel),
    "metro_boomin": Performer(metro_boomin.idiom, metro_boomin.feel),
    "questlove": Performer(questlove.idiom, questlove.feel),
}
"""Who writes the performances that the model is trained on."""
