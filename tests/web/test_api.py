"""The routes, over a fake daemon: what is answered, and how what is wrong is told."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from drumigen.midi.file import song_from_bytes
from drumigen_daemon.controls.table import VALUES
from drumigen_daemon.web.tokens import Tokens
from web_stage import Application

API = "http://127.0.0.1:8808/api/v1"
BAR: dict[str, Any] = {
    "index": 1,
    "bar": 3,
    "start": 15360,
    "meter": "4/4",
    "style": "rock",
    "origin": "generated",
    "tempo": 120.0,
    "notes": [[15360, 9, 36, 100, 60], [17280, 9, 38, 110, 60]],
}


def client_of(stage: Application, address: str = "127.0.0.1") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(stage.app, client=(address, 5000))
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8808")


@pytest.fixture
def stage() -> Application:
    return Application()


@pytest.fixture
async def client(stage: Application) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(stage) as made:
        yield made


def problem(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == status
    assert "\n" not in told["detail"]
    return str(told["detail"])


async def test_every_control_is_in_the_table_once(client: httpx.AsyncClient) -> None:
    table = (await client.get(f"{API}/controls")).json()["controls"]
    assert [row["name"] for row in table] == [str(name) for name in VALUES]


async def test_settings_are_set_together(stage: Application, client: httpx.AsyncClient) -> None:
    answer = await client.patch(f"{API}/controls", json={"tempo": 124, "bpm": 125, "swing": 60})
    assert answer.status_code == 200
    assert stage.daemon.carried == [("tempo", 124), ("bpm", 125), ("swing", 60)]


async def test_one_wrong_setting_leaves_all_as_they_were(
    stage: Application, client: httpx.AsyncClient
) -> None:
    answer = await client.patch(f"{API}/controls", json={"tempo": 124, "swing": 10})
    assert "50 to 75" in problem(answer, 422)
    assert stage.daemon.carried == []


async def test_an_action_is_posted(stage: Application, client: httpx.AsyncClient) -> None:
    assert (await client.post(f"{API}/controls/fill")).status_code == 204
    assert (await client.post(f"{API}/controls/tempo", json={"value": 99})).status_code == 204
    assert stage.daemon.carried == [("fill", None), ("tempo", 99)]


async def test_what_the_daemon_refuses_is_named(
    stage: Application, client: httpx.AsyncClient
) -> None:
    stage.daemon.refuses["style"] = "style: no style is called 'polka'; did you mean pop?"
    answer = await client.patch(f"{API}/controls", json={"style": "polka"})
    assert "did you mean pop" in problem(answer, 422)
    assert answer.json()["errors"]["style"].startswith("style:")


async def test_scenes_are_recalled_and_stored(
    stage: Application, client: httpx.AsyncClient
) -> None:
    await client.post(f"{API}/scenes/3/recall")
    await client.post(f"{API}/scenes/4/store")
    assert stage.daemon.carried == [("scene", 3), ("store_scene", 4)]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PATCH", "/controls", b"{", 400),
        ("PATCH", "/controls", b"[]", 422),
        ("PATCH", "/controls", b"{}", 422),
        ("PATCH", "/controls", b'{"tempo": null}', 422),
        ("PATCH", "/controls", b'{"fill": true}', 422),
        ("PATCH", "/controls", b'{"tempo": 1e999}', 422),
        ("PATCH", "/controls", b"[" * 5000, 422),
        ("PATCH", "/controls", b'{"tempo": "\xff"}', 400),
        ("PATCH", "/controls", b'{"a":"' + b"x" * 70_000 + b'"}', 413),
        ("POST", "/controls/nope", b"", 404),
        ("POST", "/controls/fill", b'{"value": 1}', 422),
        ("POST", "/controls/fill", b'{"velue": 1}', 422),
        ("POST", "/scenes/900/recall", b"", 422),
        ("POST", "/scenes/1/burn", b"", 404),
        ("DELETE", "/controls", b"", 405),
        ("GET", "/history?from=0", b"", 422),
        ("GET", "/history?from=9&to=3", b"", 422),
        ("GET", "/history/last.mid?bars=1e3", b"", 422),
        ("GET", "/status/nope", b"", 404),
        ("GET", "/status/../../etc/passwd", b"", 404),
        ("GET", "/download/..%2f..%2fetc%2fpasswd.mid", b"", 404),
        ("POST", "/generate", b'{"bars": 65}', 422),
        ("POST", "/generate", b'{"tempo": 10}', 422),
        ("POST", "/generate", b'{"kit": "/etc/passwd"}', 422),
        ("POST", "/generate", b'{"kit": "x.toml"}', 422),
        ("POST", "/generate", b'{"unknown": 1}', 422),
        ("POST", "/pair", b'{"token": 3}', 422),
    ],
)
async def test_what_is_wrong_is_one_line_as_a_problem(
    client: httpx.AsyncClient, method: str, path: str, body: bytes, status: int
) -> None:
    headers = {"content-type": "application/json"}
    answer = await client.request(method, f"{API}{path}", content=body, headers=headers)
    problem(answer, status)


async def test_a_body_that_is_no_json_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.patch(f"{API}/controls", content=b"tempo=3")
    assert "application/json" in problem(answer, 415)


async def test_a_daemon_that_does_not_answer_is_said(
    stage: Application, client: httpx.AsyncClient
) -> None:
    stage.daemon.silent = True
    answer = await client.post(f"{API}/controls/fill")
    problem(answer, 503)
    assert answer.headers["retry-after"]


async def test_played_bars_are_a_file(stage: Application, client: httpx.AsyncClient) -> None:
    problem(await client.get(f"{API}/history/last.mid"), 404)
    stage.daemon.bars = [BAR, {**BAR, "index": 2, "bar": 4, "start": 23040, "notes": []}]
    answer = await client.get(f"{API}/history/last.mid?bars=2")
    song = song_from_bytes(answer.content)
    assert [(note.tick, note.note) for note in song.notes] == [(0, 36), (1920, 38)]
    assert (await client.get(f"{API}/history?from=2&to=2")).json()["bars"][0]["bar"] == 4


async def test_the_catalogue_is_sent_once(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"{API}/styles")
    assert len(answer.json()["styles"]) == 18
    tag = answer.headers["etag"]
    again = await client.get(f"{API}/styles", headers={"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")


async def test_the_panel_is_there_with_all_that_it_asks_for(client: httpx.AsyncClient) -> None:
    page = await client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    for path in ("/main.js", "/panel.css", "/icon.svg", "/panel.webmanifest", "/pair", "/api"):
        assert (await client.get(path)).status_code == 200
    problem(await client.get("/nothing"), 404)


async def test_pages_of_others_get_nothing(stage: Application, client: httpx.AsyncClient) -> None:
    url = f"{API}/controls/start"
    problem(await client.post(url, headers={"origin": "http://evil.example"}), 403)
    problem(await client.post(url, headers={"origin": "null"}), 403)
    problem(await client.post(url, headers={"origin": "http://["}), 403)
    problem(await client.post(url, headers={"sec-fetch-site": "cross-site"}), 403)
    problem(await client.get(f"{API}/now", headers={"host": "evil.example"}), 421)
    assert stage.daemon.carried == []
    assert stage.refused == 5
    own = {"origin": "http://127.0.0.1:8808"}
    assert (await client.post(url, headers=own)).status_code == 204


TOKENS = Tokens("c" * 22, "w" * 22)


async def test_who_is_not_paired_may_only_pair() -> None:
    stage = Application(TOKENS, lan=True)
    async with client_of(stage, "192.168.1.9") as phone:
        page = await phone.get("/")
        assert (page.status_code, page.headers["location"]) == (303, "/pair")
        problem(await phone.get(f"{API}/now"), 401)
        problem(await phone.post(f"{API}/controls/start"), 401)
        assert (await phone.get("/pair")).status_code == 200
        answer = await phone.post(f"{API}/pair", json={"token": TOKENS.control})
        assert answer.json() == {"role": "control"}
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert (await phone.post(f"{API}/controls/start")).status_code == 204


async def test_a_bandmate_sees_and_does_not_touch() -> None:
    stage = Application(TOKENS, lan=True)
    async with client_of(stage, "192.168.1.9") as phone:
        headers = {"authorization": f"Bearer {TOKENS.watch}"}
        assert (await phone.get(f"{API}/now", headers=headers)).status_code == 200
        assert "watches" in problem(await phone.post(f"{API}/controls/start", headers=headers), 403)
        assert (await phone.get(f"{API}/role", headers=headers)).json() == {"role": "watch"}
    assert stage.daemon.carried == []


async def test_guessing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drumigen_daemon.web.pairing.WRONG_PAUSE", 0.0)
    stage = Application(TOKENS, lan=True)
    async with client_of(stage, "192.168.1.9") as phone:
        for _ in range(5):
            problem(await phone.post(f"{API}/pair", json={"token": "x" * 22}), 401)
        answer = await phone.post(f"{API}/pair", json={"token": TOKENS.control})
        problem(answer, 429)
        assert int(answer.headers["retry-after"]) > 1
    async with client_of(stage, "192.168.1.10") as other:
        right = await other.post(f"{API}/pair", json={"token": TOKENS.control})
        assert right.status_code == 200


async def test_tokens_are_not_guessed_at_other_doors_either() -> None:
    stage = Application(TOKENS, lan=True)
    async with client_of(stage, "192.168.1.9") as phone:
        for _ in range(5):
            wrong = {"authorization": f"Bearer {'x' * 22}"}
            problem(await phone.get(f"{API}/now", headers=wrong), 401)
        right = {"authorization": f"Bearer {TOKENS.control}"}
        problem(await phone.get(f"{API}/now", headers=right), 429)
        # who has an old cookie can still pair
        assert (await phone.get("/pair", headers=wrong)).status_code == 200
    async with client_of(stage, "192.168.1.10") as other:
        assert (await other.get(f"{API}/now", headers=right)).status_code == 200


async def trickle(data: bytes) -> AsyncIterator[bytes]:
    for place in range(len(data)):
        yield data[place : place + 1]
        await asyncio.sleep(0.05)


async def test_a_body_that_comes_drop_by_drop_is_not_waited_for(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drumigen_daemon.web.api.BODY_SECONDS_MAX", 0.2)
    headers = {"content-type": "application/json"}
    body = trickle(b'{"tempo": 124}' + b" " * 200)
    answer = await client.patch(f"{API}/controls", content=body, headers=headers)
    problem(answer, 408)


async def test_the_same_key_is_the_same_job(client: httpx.AsyncClient) -> None:
    headers = {"idempotency-key": "take-1"}
    first = await client.post(f"{API}/generate", json={"bars": 2}, headers=headers)
    again = await client.post(f"{API}/generate", json={"bars": 2}, headers=headers)
    assert first.status_code == again.status_code == 202
    assert first.headers["location"] == again.headers["location"]
    assert (await client.get(first.headers["location"])).json()["state"] == "queued"
    other = await client.post(f"{API}/generate", json={"bars": 3}, headers=headers)
    assert "used before" in problem(other, 422)


async def test_a_full_queue_is_said() -> None:
    stage = Application(queued_jobs=2)
    async with client_of(stage) as client:
        for _ in range(2):
            assert (await client.post(f"{API}/generate", json={})).status_code == 202
        problem(await client.post(f"{API}/generate", json={}), 503)


async def test_a_job_that_waits_can_be_ended(client: httpx.AsyncClient) -> None:
    where = (await client.post(f"{API}/generate", json={})).headers["location"]
    assert (await client.delete(where)).status_code == 204
    assert (await client.get(where)).json()["state"] == "cancelled"
    job = where.rpartition("/")[2]
    problem(await client.get(f"{API}/download/{job}.mid"), 409)
    problem(await client.get(f"{API}/download/{job}.exe"), 404)
