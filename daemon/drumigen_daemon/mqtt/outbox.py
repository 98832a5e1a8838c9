"""What waits to be published: of every state only the newest, of events only the last.  Sans I/O.

However slow or long away a broker is, this holds no more than one message for each retained topic
and :data:`EVENTS_MAX` others.
"""

from collections import deque
from typing import Final

from drumigen_daemon.mqtt.topics import Message

EVENTS_MAX: Final = 64


class Outbox:
    """Messages on their way to one broker."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._states: dict[str, Message] = {}
        self._due: dict[str, None] = {}  # a set that keeps its order
        self._events: deque[Message] = deque(maxlen=EVENTS_MAX)
        self.dropped = 0
        """Events that gave way to later ones."""

    def put(self, message: Message) -> None:
        """Have ``message`` published; a state only if it is another than the last."""
        if not message.retain:
            self.dropped += len(self._events) == EVENTS_MAX
            self._events.append(message)
        elif self._states.get(message.topic) != message:
            self._states[message.topic] = message
            self._due[message.topic] = None

    def take(self) -> Message | None:
        """Return what is to be published next: states first, in the order that they changed."""
        if self._due:
            topic = next(iter(self._due))
            del self._due[topic]
            return self._states[topic]
        return self._events.popleft() if self._events else None

    def again(self, topic: str) -> None:
        """Have the state of ``topic`` published again: somebody else has written there."""
        if topic in self._states:
            self._due[topic] = None

    def renew(self) -> None:
        """Have every state published again; events of the time before mean nothing any more."""
        self._due = dict.fromkeys(self._states)
        self.dropped += len(self._events)
        self._events.clear()

    def __len__(self) -> int:
        """Return how many messages wait."""
        return len(self._due) + len(self._events)
