"""What crosses the broker: a request for bars, its answer, and what workers say of themselves.

Everything is JSON that is checked against these types, packed by zlib, whose checksum tells a
damaged answer.  Nothing here is ever unpickled.
"""

import base64
import binascii
import zlib
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final, TypeVar

import msgspec

from drumigen.errors import DrumigenError
from drumigen.pattern import Bar
from drumigen_daemon.generator.messages import Batch

BARS_TASK: Final = "drumigen.bars"
SONG_TASK: Final = "drumigen.song"
DEADLINE_HEADER: Final = "drumigen_deadline"
"""Header of a task: until when it is wanted, in milliseconds of the broker's clock."""
ASKED_HEADER: Final = "drumigen_asked"
"""When it was asked for, in the same."""
REPLY_HEADER: Final = "drumigen_reply"
"""The list of the broker on which the answer is waited for."""
ROWS_HEADER: Final = "drumigen_rows"
"""How many bars it asks for."""
SONG_PRIORITY: Final = 0
SPARE_PRIORITY: Final = 1
"""Bars that are only there to be called for come after those that are bound to sound."""
PRIORITIES: Final = (SONG_PRIORITY, SPARE_PRIORITY)
WORKERS_MAX: Final = 1000
ROWS_MAX: Final = 256
"""Bars in one request."""
PACKED_MAX: Final = 2_000_000
UNPACKED_MAX: Final = 8_000_000
"""Bytes; what is larger is no message of ours."""
ADVERT_PERIOD: Final = 0.5
ADVERT_PATIENCE: Final = 3.0
"""Seconds without an advertisement after which a worker counts as gone."""

T = TypeVar("T")


class WireError(DrumigenError):
    """Raised for what came over the broker and is no message, or none for us; one line.

    ``style`` is the one that is the reason, if it is.
    """

    def __init__(self, message: str, style: str = "") -> None:
        """Say ``message``."""
        super().__init__(message)
        self.style = style


class BarsRequest(msgspec.Struct, frozen=True):
    """The body of a request for bars."""

    identity: str
    """Of the model and code that is to write them: :mod:`drumigen_daemon.workers.identity`."""
    batch: Batch
    styles: dict[str, str]
    """Of each style that is played or mixed in, the digest of its definition."""


class BarsReply(msgspec.Struct, frozen=True):
    """The answer: a bar for each request in order, or why not."""

    bars: tuple[Bar, ...] = ()
    problem: str = ""
    style: str = ""
    """The style for which it was refused, if it was one."""
    busy: bool = False
    """Whether it was refused only because it could not be done in time."""
    worker: str = ""
    waited: float = 0.0
    """Seconds from asking until the worker began."""
    batch_bars: int = 0
    """Bars that were written together."""
    bar_time: float = 0.0
    """Seconds that each of them took."""


class Advert(msgspec.Struct, frozen=True):
    """What a worker says of itself, twice a second, while it can work."""

    identity: str
    model: str
    """The checkpoint, for people."""
    vocabulary: str
    lane: str
    """``bars`` or ``songs``."""
    device: str = "cpu"
    seen: float = 0.0
    """When it was said, in milliseconds of the broker's clock."""
    bars: int = 0
    """Bars written, or songs rendered, since it started."""
    dropped: int = 0
    """Bars that nobody waited for any more."""
    refused: int = 0
    """Bars refused: too busy, or another model or style."""


def heard_of(said: Mapping[Any, Any], now: float) -> dict[str, Advert]:
    """Return what workers say of themselves who are there, by their names.

    ``said`` is the hash of the broker, ``now`` seconds of its clock.
    """
    found: dict[str, Advert] = {}
    for name, text in islice(said.items(), WORKERS_MAX):
        try:
            advert = msgspec.json.decode(text, type=Advert)
        except msgspec.MsgspecError:
            continue
        if now - advert.seen / 1000 <= ADVERT_PATIENCE:
            found[name.decode(errors="replace")] = advert
    return found


def compressed(message: object) -> bytes:
    """Return the bytes that carry ``message``."""
    return zlib.compress(msgspec.json.encode(message), 1)


def compressed_text(message: object) -> str:
    """Return the same as text, for the body of a task."""
    return base64.b64encode(compressed(message)).decode("ascii")


def decompressed(data: bytes, kind: type[T]) -> T:
    """Return the message of ``kind`` in ``data``.

    Raises:
        WireError: it is none, or too large.
    """
    if len(data) > PACKED_MAX:
        message = f"a message of {len(data)} bytes"
        raise WireError(message)
    try:
        inflater = zlib.decompressobj()
        whole = inflater.decompress(data, UNPACKED_MAX)
        if not inflater.eof:
            message = "a message that is cut short, or too large"
            raise WireError(message)
        return msgspec.json.decode(whole, type=kind)
    except (zlib.error, msgspec.MsgspecError, ValueError, RecursionError, DrumigenError) as error:
        message = f"what is no message: {error}"
        raise WireError(message) from error


def unpacked_text(text: object, kind: type[T]) -> T:
    """Return the message of ``kind`` in the body of a task.

    Raises:
        WireError: it is none, or too large.
    """
    if not isinstance(text, str) or len(text) > 2 * PACKED_MAX:
        message = "what is no text, or too long"
        raise WireError(message)
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        message = f"what is no message: {error}"
        raise WireError(message) from error
    return decompressed(data, kind)


def fitting(reply: BarsReply, batch: Batch) -> tuple[Bar, ...]:
    """Return the bars of ``reply``, which answers ``batch``.

    Raises:
        WireError: they are not those asked for: too few, in another metre, or empty.
    """
    meters = [item.request.meter for item in batch.items]
    if [bar.meter for bar in reply.bars] != meters or not all(bar.hits for bar in reply.bars):
        message = "bars that are not those asked for"
        raise WireError(message)
    return reply.bars


def bars_request_of(batch: Batch, identity: str, styles: dict[str, str]) -> BarsRequest:
    """Return ``batch`` as it travels; ``styles`` are the digests of all known ones."""
    named: dict[str, str] = {}
    for name in styles_in(batch):
        named[name] = styles.get(name, "")
    return BarsRequest(identity, batch, named)


def styles_in(batch: Batch) -> set[str]:
    """Return the names of all styles that ``batch`` speaks of, in its contexts too."""
    requests = [request for part in batch.parts for request in part.requests]
    requests += [written.request for part in batch.parts for written in part.context]
    names = {request.style for request in requests}
    names.update(request.blend for request in requests if request.blend)
    return names
