"""The description of the API holds: a third party's client tries it on the real server."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from drumigen_daemon.web.openapi import described_api
from web_stage import Application, Web, web

pytestmark = pytest.mark.process
NULL = ("--set", "midi.backend=null", "--set", "generator.writer=mock")
EXAMPLES = 12


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("openapi")
    with web(folder, *NULL, "--set", "web.queued_jobs=1000") as made:
        yield made


def test_a_third_party_finds_nothing_that_is_not_described(client: Web, tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "schemathesis"
    done = subprocess.run(
        [
            *(str(program), "run", f"{client.url}/api/v1/openapi.json"),
            *("--max-examples", str(EXAMPLES), "--seed", "1", "--phases", "examples,fuzzing"),
            # a stream that does not end, and a look at the whole machine
            *("--exclude-path", "/events", "--exclude-path", "/doctor"),
            # values are described as the table of controls says, which no schema can
            *("--exclude-checks", "positive_data_acceptance"),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
    assert client.get("/now")


def test_every_route_is_described_and_every_description_has_a_route() -> None:
    stage = Application()
    described = {
        (path, method.upper())
        for path, methods in described_api("0")["paths"].items()
        for method in methods
    }
    mounted = stage.app._app.routes[0].routes  # type: ignore[attr-defined]
    routed = {
        (route.path.replace(":int", ""), method)
        for route in mounted
        if getattr(route, "methods", None)
        for method in route.methods - {"HEAD"}
    }
    assert described == routed
    assert json.dumps(described_api("0"))
