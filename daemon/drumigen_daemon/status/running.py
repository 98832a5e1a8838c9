"""The running daemon, as those see it who show it and pass controls on."""

from typing import Any, Protocol

from drumigen_daemon.controls.table import Controls
from drumigen_daemon.status.status import Status


class RunningDaemon(Protocol):
    """What MQTT, the web process and the control socket speak for; each may need more."""

    @property
    def controls(self) -> Controls:
        """What can be turned, and where it stands."""

    @property
    def status(self) -> Status:
        """Where everything stands."""

    def control(self, name: str, value: Any = None) -> None:  # noqa: ANN401 - from outside
        """Carry out a control.

        Raises:
            ControlError: it is unknown or its value is wrong; nothing has changed.
        """
