"""What Home Assistant is told so that it shows every control by itself (MQTT discovery).

One retained message an entity, on ``<prefix>/<component>/drumigen_<id>/<object>/config``.  Which
component a control becomes follows from what it takes: a few names are a select, on and off a
switch, numbers a number, nothing a button, and the rest is text.  What can be left to the style
has a switch besides: on while it is, and to give it back.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from drumigen_daemon.controls.table import STANDING
from drumigen_daemon.controls.values import SWITCH, Allowed, leaves_to_style, plain
from drumigen_daemon.mqtt.topics import CONTROLLED, OFFLINE, ONLINE, PLAYING, Message, Topics

BIRTH: Final = "online"
"""What Home Assistant says on ``<prefix>/status`` when it has started."""

Entity = dict[str, Any]

_SENSORS: Final[Mapping[str, tuple[str, str, Entity]]] = {
    # object: (component, where its value is told, the rest)
    "tempo_now": ("sensor", "song", {"value_template": "tempo", "unit_of_measurement": "BPM"}),
    "bar_now": ("sensor", "song", {"value_template": "bar"}),
    "transport": ("sensor", "song", {"value_template": "transport"}),
    "lock": ("sensor", "song", {"value_template": "lock"}),
    "locked": (
        "binary_sensor",
        "song",
        {"value_template": "locked", "payload_on": "True", "payload_off": "False"},
    ),
    **{
        counter: (
            "sensor",
            "telemetry",
            {
                "value_template": counter,
                "state_class": "total_increasing",
                "entity_category": "diagnostic",
            },
        )
        for counter in ("late_bars", "fallback_bars", "late_notes", "port_losses", "lost_pulses")
    },
    "lateness_p99_us": (
        "sensor",
        "telemetry",
        {
            "value_template": "lateness_p99_us",
            "unit_of_measurement": "μs",
            "entity_category": "diagnostic",
        },
    ),
}


def discovery(
    topics: Topics, prefix: str, version: str, options: Mapping[str, tuple[str, ...]]
) -> Iterator[Message]:
    """Yield what makes the entities of one drumigen; ``options`` are values known elsewhere."""
    for control, allowed in CONTROLLED.items():
        component, entity = _control(topics, control, allowed, options.get(control, ()))
        yield _config(topics, prefix, version, component, control, entity)
        if allowed is not None and leaves_to_style(allowed):
            entity = _by_style(topics, control, allowed)
            yield _config(topics, prefix, version, "switch", f"{control}_by_style", entity)
    for name, (component, where, rest) in _SENSORS.items():
        entity = {**rest, "state_topic": topics.told(where)}
        entity["value_template"] = f"{{{{ value_json.{rest['value_template']} }}}}"
        yield _config(topics, prefix, version, component, name, entity)


def _control(
    topics: Topics, control: str, allowed: Allowed[Any] | None, options: tuple[str, ...]
) -> tuple[str, Entity]:
    entity: Entity = {"command_topic": topics.command(control), "qos": 1}
    if "." in control:  # one for each voice: a hundred, for who looks for them
        entity |= {"enabled_by_default": False, "entity_category": "config"}
    if allowed is None:
        return "button", entity
    if control in STANDING or control == PLAYING:
        entity["state_topic"] = topics.state(control)
    options = options or tuple(map(str, allowed.names))
    if options:
        return "select", {**entity, "options": list(options)}
    if allowed is SWITCH:
        return "switch", {**entity, "payload_on": "on", "payload_off": "off"}
    if allowed.low is not None:
        whole = isinstance(allowed.take(allowed.low), int)
        entity |= {"min": allowed.low, "max": allowed.high, "step": 1 if whole else 0.01}
        return "number", {**entity, "mode": "box", "payload_reset": plain(None)}
    return "text", entity


def _by_style(topics: Topics, control: str, allowed: Allowed[Any]) -> Entity:
    """Return the switch that leaves a control to the style; off, it begins in the middle."""
    low, high = allowed.low or 0.0, allowed.high or 0.0
    middle = (low + high) / 2
    left = plain(None)
    return {
        "command_topic": topics.command(control),
        "state_topic": topics.state(control),
        "value_template": f"{{{{ 'on' if value == '{left}' else 'off' }}}}",
        "state_on": "on",
        "state_off": "off",
        "payload_on": left,
        "payload_off": plain(round(middle) if allowed.whole else middle),
        "qos": 1,
        "entity_category": "config",
    }


def _config(  # noqa: PLR0913, PLR0917 - what one message is made of
    topics: Topics, prefix: str, version: str, component: str, name: str, entity: Entity
) -> Message:
    object_id = "".join(c if c.isalnum() else "_" for c in name)
    node = f"drumigen_{topics.id}"
    config = {
        "name": name.replace("_", " ").replace(".", " "),
        "unique_id": f"{node}_{object_id}",
        "default_entity_id": f"{component}.{_slug(topics.id)}_{object_id}",
        "availability_topic": topics.availability,
        "payload_available": ONLINE,
        "payload_not_available": OFFLINE,
        "device": {
            "identifiers": [node],
            "name": topics.id,
            "model": "drumigen",
            "manufacturer": "drumigen",
            "sw_version": version,
        },
        "origin": {"name": "drumigen", "sw_version": version},
        **entity,
    }
    where = f"{prefix}/{component}/{node}/{object_id}/config"
    return Message(where, msgspec.json.encode(config).decode(), qos=1, retain=True)


def _slug(name: str) -> str:
    """Return the id of a drumigen as part of an entity's: its own name said once."""
    slug = "".join(c if c.isalnum() else "_" for c in name.lower())
    return slug if slug.startswith("drumigen") else f"drumigen_{slug}"
