"""Acceptance of the system service on a real systemd and a real ALSA sequencer.

Needs a throw-away Debian machine with systemd as pid 1, ``/dev/snd/seq``, ``aseqdump`` and
``aconnect`` (alsa-utils), the wheel installed, and the unit of ``drumigen service install --print``
enabled at boot, with settings that play by our own clock and name the interface::

    [clock]
    source = "internal"
    tempo = 174
    [midi]
    backend = "alsa"
    outputs = ["Drum Machine"]

Run it as root: ``/path/of/the/venv/bin/python tests/vm/service.py``.  It prints a line for each law
and exits 1 if one is broken.  Plug and unplug runs where a command ``usbmidi`` (``plug NAME``,
``unplug``) simulates a USB MIDI interface.  It takes some minutes, and no figures of timing come of
it where the machine is emulated.
"""

# ruff: noqa: T201 - what it prints is the point

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

UNIT = "drumigen.service"
SETTINGS = Path("/etc/drumigen/drumigen.toml")
DRUMIGEN = Path(sys.executable).with_name("drumigen")
INTERFACE = "Drum Machine"
PATIENCE = 120.0
failures: list[str] = []


def law(name: str, held: object, detail: object = "") -> None:
    print(f"{'ok    ' if held else 'BROKEN'} {name} {detail}", flush=True)
    if not held:
        failures.append(name)


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def shown(name: str) -> str:
    return run("systemctl", "show", UNIT, f"--property={name}", "--value").strip()


def until(condition: Callable[[], object], seconds: float = PATIENCE) -> float:
    """Wait until it holds; return how long that took, infinite if it never did."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > seconds:
            return float("inf")
        time.sleep(0.1)
    return time.monotonic() - begun


def active() -> bool:
    return run("systemctl", "is-active", UNIT).strip() == "active"


def status() -> dict[str, Any]:
    told = run(str(DRUMIGEN), "status", "--json")
    return json.loads(told) if told else {"processes": {}, "counters": {}, "ready": False}


def control(*words: str) -> None:
    subprocess.run([str(DRUMIGEN), "control", *words], check=True)


def main_pid() -> int:
    return int(shown("MainPID") or 0)


def engine_pid() -> int:
    return int(status()["processes"].get("engine") or 0)


def our_client() -> str:
    """Return what ``aconnect`` tells of our client."""
    return run("aconnect", "-l").partition(": 'drumigen'")[2].partition("\nclient ")[0]


def our_port(name: str) -> str:
    """Return the address of a port of ours: aseqdump wants numbers."""
    number = re.search(rf"^ +(\d+) '{name} *'", our_client(), re.MULTILINE)
    return f"drumigen:{number[1]}" if number else f"drumigen:{name}"


class Ears:
    """``aseqdump`` on our port."""

    def __init__(self) -> None:
        self.file = Path("/tmp/heard.txt")  # noqa: S108 - the machine is thrown away
        with self.file.open("wb") as out:
            self.process = subprocess.Popen(["aseqdump", "-p", our_port("out")], stdout=out)

    def count(self, what: str) -> int:
        return self.file.read_text(errors="replace").count(what)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)


def hear(notes: int) -> tuple[bool, Ears]:
    """Listen until so many notes were heard."""
    ears = Ears()
    return until(lambda: ears.count("Note on") >= notes) < PATIENCE, ears


def it_is_ready_after_boot() -> None:
    took = until(active)
    up = Path("/proc/uptime").read_text().split()[0]
    law("the service is active after boot", took < PATIENCE, f"machine up for {up} s")
    law("it says how it goes", "through alsa" in shown("StatusText"), shown("StatusText"))
    law("nobody restarted it", shown("NRestarts") == "0", shown("NRestarts"))


def notes_are_heard_and_realtime_is_the_engines_only() -> None:
    control("start")
    heard, ears = hear(32)
    ears.close()
    law("notes are heard on the ALSA port", heard)
    engine = engine_pid()
    law("the engine runs under SCHED_FIFO", os.sched_getscheduler(engine) == os.SCHED_FIFO)
    locked = Path(f"/proc/{engine}/status").read_text().partition("VmLck:")[2].split()[0]
    law("and its memory is locked", int(locked) > 0, f"{locked} kB")
    others = [main_pid(), int(status()["processes"]["generator"])]
    fifo = [pid for pid in others if os.sched_getscheduler(pid) == os.SCHED_FIFO]
    law("no other process does", fifo == [], fifo)
    owner = Path(f"/proc/{engine}").stat().st_uid
    law("nothing runs as root", owner != 0, owner)


def the_engine_is_replaced_and_the_song_goes_on() -> None:
    before = engine_pid()
    os.kill(before, signal.SIGKILL)
    law("a killed engine is replaced", until(lambda: engine_pid() not in (0, before)) < PATIENCE)
    heard, ears = hear(8)
    ears.close()
    law("and the song goes on", heard)
    law("by the same service", shown("NRestarts") == "0")


def asked(path: str, host: str = "127.0.0.1", token: str = "", body: object = None) -> Any:  # noqa: ANN401
    """Return what the API answers: the status, if it is no success, else the value."""
    headers = {"content-type": "application/json"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    url = f"http://{host}:8808/api/v1{path}"
    request = urllib.request.Request(url, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            told = answer.read()
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None
    return json.loads(told) if told[:1] in (b"{", b"[") else told


def web_pid() -> int:
    """Return the process id of the web process; 0 if there is none."""
    found = run("pgrep", "-f", "drumigen_daemon[.]web[.]process").split()
    return int(found[0]) if found else 0


def the_panel_is_served_inside_the_sandbox() -> None:
    law("the panel answers", until(lambda: isinstance(asked("/now"), dict)) < PATIENCE)
    pid = web_pid()
    law("its process is not root", pid and Path(f"/proc/{pid}").stat().st_uid != 0)
    law("nor under SCHED_FIFO", pid and os.sched_getscheduler(pid) == os.SCHED_OTHER)
    asked("/controls/tempo", body={"value": 150})
    law("a control through it is carried out", until(lambda: status()["tempo"] == 150.0) < 10)
    job = asked("/generate", body={"bars": 1, "style": "funk"})
    where = f"/status/{job['id']}" if isinstance(job, dict) else "/none"
    done = until(lambda: (asked(where) or {}).get("state") in ("done", "failed"))
    state = asked(where)
    law("a song is rendered on request", done < PATIENCE and state["state"] == "done", state)
    os.kill(pid, signal.SIGKILL)
    law("a killed one is replaced", until(lambda: web_pid() not in (0, pid)) < PATIENCE)
    law("and answers", until(lambda: isinstance(asked("/now"), dict)) < PATIENCE)
    law("the song went on", status()["transport"] == "rolling")


def the_network_is_let_in_by_token_only() -> None:
    """An address of our own stands for another machine: who comes from it is not on loopback."""
    good = SETTINGS.read_text()
    here = "10.9.9.9"
    if shutil.which("ip") is None:
        print("skip   the network: there is no command ip here")
        return
    run("ip", "address", "add", f"{here}/32", "dev", "lo")
    try:
        SETTINGS.write_text(f"{good}\n[web]\nlan = true\n")
        run("systemctl", "reload", UNIT)
        law("a stranger is refused", until(lambda: asked("/now", here) == 401) < PATIENCE)
        kept = Path("/var/lib/drumigen/web-token")
        private = kept.is_file() and kept.stat().st_mode & 0o77 == 0
        law("the tokens are in the state folder, and private", private)
        pair = run(str(DRUMIGEN), "web", "pair")
        token = pair.rpartition("/pair#")[2].split()[0] if "/pair#" in pair else ""
        told = asked("/now", here, token)
        law("who is paired by root gets in", isinstance(told, dict), "" if told else pair[-200:])
        law("a wrong token does not", asked("/now", here, "x" * 22) == 401)
        journal = run("journalctl", "-u", UNIT, "--no-pager")
        law("no token is in the journal", token and token not in journal)
        print("      not advertised here" if "not advertised" in journal else "      advertised")
    finally:
        SETTINGS.write_text(good)
        run("systemctl", "reload", UNIT)
        run("ip", "address", "del", f"{here}/32", "dev", "lo")


def killed_it_comes_back() -> None:
    before = main_pid()
    os.kill(before, signal.SIGKILL)
    took = until(lambda: main_pid() not in (0, before) and active())
    law("kill -9 and it is back", took < PATIENCE, f"after {took:.1f} s")
    law("counted by systemd", shown("NRestarts") == "1", shown("NRestarts"))
    control("start")
    heard, ears = hear(16)
    ears.close()
    law("and it plays", heard)


def a_hung_one_is_ended_by_the_watchdog() -> None:
    before = main_pid()
    os.kill(before, signal.SIGSTOP)
    took = until(lambda: main_pid() not in (0, before) and active())
    law("a hung daemon is replaced by the watchdog", took < PATIENCE, f"after {took:.1f} s")
    control("start")


def settings_are_read_again() -> None:
    good = SETTINGS.read_text()
    try:
        _read_again(good)
    finally:
        SETTINGS.write_text(good)
        run("systemctl", "reload", UNIT)


def _read_again(good: str) -> None:
    SETTINGS.write_text(good.replace("174", "96"))
    run("systemctl", "reload", UNIT)
    law("a reload takes new settings", until(lambda: status()["tempo"] == 96.0, 30) < 30)
    SETTINGS.write_text("[clock]\ntempo = 9000\n")
    run("systemctl", "reload", UNIT)
    law("an invalid file leaves the old ones in force", active() and status()["tempo"] == 96.0)
    law("and says so", "kept the old settings" in shown("StatusText"), shown("StatusText"))
    law("it plays on meanwhile", status()["transport"] == "rolling")


def connected() -> bool:
    """Whether anything plays what we send; the interface is all that the settings name."""
    return "Connecting To" in our_client()


def interfaces_come_and_go() -> None:
    usbmidi = shutil.which("usbmidi")
    if usbmidi is None:
        print("skip   plug and unplug: there is no command usbmidi here")
        return
    for turn in (1, 2):
        losses = status()["counters"]["port_losses"]
        subprocess.run([usbmidi, "plug", INTERFACE], check=True)
        law(f"a plugged interface is played, turn {turn}", until(connected, 30) < 30)
        subprocess.run([usbmidi, "unplug"], check=True)
        told = until(lambda before=losses: status()["counters"]["port_losses"] > before, 30) < 30  # type: ignore[misc]
        law(f"its unplugging is told, turn {turn}", told)
        law(f"and the song goes on, turn {turn}", status()["transport"] == "rolling")


def it_ends_cleanly() -> None:
    heard, ears = hear(8)
    law("notes before the end", heard)
    pids = [main_pid(), engine_pid(), int(status()["processes"]["generator"] or 0)]
    begun = time.monotonic()
    run("systemctl", "stop", UNIT)
    took = time.monotonic() - begun
    ears.close()
    law("it ends by itself", shown("Result") == "success", f"{shown('Result')}, {took:.2f} s")
    on, off = ears.count("Note on"), ears.count("Note off")
    law("with every note ended", on > 0 and off >= on, f"{on} on, {off} off")
    left = [pid for pid in pids if pid and Path(f"/proc/{pid}").exists()]
    law("and nobody left behind", left == [], left)
    law("nor its socket", not Path("/run/drumigen/drumigen.sock").exists())


def what_was_played_is_kept() -> None:
    run("systemctl", "start", UNIT)
    until(active)
    out = Path("/tmp/last.mid")  # noqa: S108 - the machine is thrown away
    run(str(DRUMIGEN), "export", "--bars", "8", "--output", str(out))
    law("what was played before is there after", out.is_file() and out.stat().st_size > 100)


def the_command_installs_and_removes() -> None:
    law("service status", "active" in run(str(DRUMIGEN), "service", "status"))
    run(str(DRUMIGEN), "service", "uninstall")
    law("service uninstall", not active() and not Path("/etc/systemd/system", UNIT).exists())
    told = run(str(DRUMIGEN), "service", "install")
    law("service install", until(active) < PATIENCE, told.splitlines()[-1:])
    run("systemctl", "stop", UNIT)


def main() -> int:
    for part in (
        it_is_ready_after_boot,
        notes_are_heard_and_realtime_is_the_engines_only,
        the_engine_is_replaced_and_the_song_goes_on,
        the_panel_is_served_inside_the_sandbox,
        the_network_is_let_in_by_token_only,
        interfaces_come_and_go,
        killed_it_comes_back,
        settings_are_read_again,
        a_hung_one_is_ended_by_the_watchdog,
        it_ends_cleanly,
        what_was_played_is_kept,
        the_command_installs_and_removes,
    ):
        try:
            part()
        except Exception as error:  # noqa: BLE001 - the others are tried all the same
            law(part.__name__.replace("_", " "), held=False, detail=repr(error))
    print(f"{len(failures)} laws broken" if failures else "all laws hold")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
