"""Whether two machines write the same bars: the same code, vocabulary, network and styles."""

import hashlib
from dataclasses import asdict
from typing import Final, NamedTuple

import msgspec

from drumigen import __version__
from drumigen.errors import ModelLoadError
from drumigen.model.tensor_header import located
from drumigen.model.tokens import vocabulary_hash
from drumigen.resources import checkpoint_path
from drumigen.styles import Style, StyleCatalogue
from drumigen_daemon.generator.messages import GeneratorSetup

PROTOCOL: Final = 1
"""Of the messages; counted up when another drumigen could not read them."""
SHORT: Final = 16
"""Hexadecimal digits of a digest: 64 bits tell models apart; nobody is kept out by them."""
_NO_SOUND: Final = ("name", "title", "aliases", "description", "tempo", "model")
"""What of a style does not change how its bars are written."""


class Identity(NamedTuple):
    """Who writes: ``key`` is equal where bars are, the rest is for people."""

    key: str
    model: str
    vocabulary: str


def identity_of(setup: GeneratorSetup, *, drawn: bool = True) -> Identity:
    """Return the identity of this drumigen with the checkpoint of ``setup``.

    How strokes are drawn, ``top_k`` and ``top_p``, is a part of it unless not ``drawn``: a request
    for a song says that itself.

    Raises:
        ModelLoadError: the checkpoint is not there, or cannot be read.
    """
    path = located(setup.model or checkpoint_path())
    try:
        with path.open("rb") as file:
            weights = hashlib.file_digest(file, "blake2b").hexdigest()[:SHORT]
    except OSError as error:
        message = f"{path}: {error.strerror}; check the permissions"
        raise ModelLoadError(message) from error
    vocabulary, draws = vocabulary_hash(), (setup.top_k, setup.top_p) if drawn else ()
    key = _digest([PROTOCOL, __version__, vocabulary, weights, draws])
    usual = not draws or draws == (0, 1.0)
    said = "" if usual else f" (top_k {setup.top_k}, top_p {setup.top_p:g})"
    return Identity(key, f"{path.name} {weights}{said}", vocabulary)


def style_digests(styles: StyleCatalogue) -> dict[str, str]:
    """Return a digest of how each style is written, by its name and by its aliases."""
    found: dict[str, str] = {}
    for style in styles:
        digest = style_digest(style)
        found.update(dict.fromkeys((style.name, *style.aliases), digest))
    return found


def style_digest(style: Style) -> str:
    """Return a digest of what of ``style`` changes its bars; empty if it cannot be told."""
    told = {name: value for name, value in asdict(style).items() if name not in _NO_SOUND}
    own = ""
    if style.model is not None:
        try:
            with style.model.open("rb") as file:
                own = hashlib.file_digest(file, "blake2b").hexdigest()
        except OSError:
            return ""
    return _digest([style.label, list(style.learnt_as), told, own])


def _digest(value: object) -> str:
    told = msgspec.json.encode(value, order="deterministic")
    return hashlib.blake2b(told).hexdigest()[:SHORT]
