"""What holds for all tests."""

import logging
import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# many daemons run here, some at once: the panel's port is opened by those that name it
os.environ.setdefault("DRUMIGEN_WEB_PORT", "0")

# a busy machine is no error of a test
settings.register_profile("drumigen", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("drumigen"), max_examples=8)
settings.load_profile("drumigen")

# whose fixtures every test may name
pytest_plugins = (
    "fixtures_jack",
    "fixtures_broker",
    "fixtures_redis",
    "fixtures_pipewire",
    "stage_fixtures",
    "brain",
)


@pytest.fixture(autouse=True)
def no_device_has_failed() -> Iterator[None]:
    """A device that failed in one test is tried again in the next."""
    yield
    devices = sys.modules.get("drumigen.model.devices")
    if devices is not None:
        devices.FAULTS.forget()


@pytest.fixture(autouse=True)
def no_log_goes_to_what_is_closed() -> Iterator[None]:
    """The captured stream that a command logs to is gone when the next test begins."""
    root = logging.getLogger()
    before = root.handlers[:]
    yield
    for handler in root.handlers[:]:
        if handler not in before and not type(handler).__module__.startswith("_pytest"):
            root.removeHandler(handler)
