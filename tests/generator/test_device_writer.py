"""A GPU may be absent, full, broken or hung: the network plays on, on the CPU, and says so."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from brain import SMALL
from drumigen.model import devices
from drumigen.model.mock import create_mock_checkpoint
from drumigen.timeline import Meter
from drumigen.units import Bpm, Seconds
from drumigen_daemon.commands.remote import summary
from drumigen_daemon.engine.messages import Origin
from drumigen_daemon.generator import device_writer, verdicts
from drumigen_daemon.generator.device_writer import HANG_SECONDS, found_device
from drumigen_daemon.generator.link import GeneratorLink
from drumigen_daemon.generator.messages import (
    BarRequest,
    DeviceReport,
    GeneratorSetup,
    Item,
    WrittenBar,
    batch_of,
)
from drumigen_daemon.generator.process import batch_reply, first_words
from drumigen_daemon.generator.trial import real_batch, tried
from drumigen_daemon.generator.verdicts import Verdict
from drumigen_daemon.generator.writers import make_live_writer, make_writer
from drumigen_daemon.planner.song_memory import SongMemory
from drumigen_daemon.status.prometheus import exposition
from drumigen_daemon.status.status import Status, described
from failing_device import WAYS

TEMPO = Bpm(120.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return create_mock_checkpoint(tmp_path_factory.mktemp("device") / "small.safetensors", SMALL)


def item(number: int, seed: int = 1) -> Item:
    return Item(BarRequest("funk", number, Meter(), seed))


class Stage:
    """A generator in a process of its own, whose GPU is ours, and what it wrote."""

    def __init__(self, setup: GeneratorSetup) -> None:
        self.bars: list[WrittenBar] = []
        self.reports: list[DeviceReport] = []
        self.link = GeneratorLink(
            setup,
            on_bars=lambda bars, _: self.bars.extend(bars),
            on_change=self._changed,
            on_loss=lambda: None,
            module="failing_device",
        )

    def _changed(self) -> None:
        if self.link.device not in self.reports[-1:]:
            self.reports.append(self.link.device)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(240):
            while not condition():  # noqa: ASYNC110 - what is waited for is another process
                await asyncio.sleep(0.01)

    async def write(self, numbers: Sequence[int]) -> list[WrittenBar]:
        """Ask for bars one after another; a generator that is lost is asked again."""
        for number in numbers:
            while not any(bar.request.number == number for bar in self.bars):
                await self.until(lambda: self.link.room(2.0) > 0)
                restarts = self.link.child.restarts
                self.link.ask([item(number)], TEMPO, 2.0)
                await self.until(
                    lambda n=number, r=restarts: (  # type: ignore[misc]
                        any(bar.request.number == n for bar in self.bars)
                        or self.link.child.restarts > r
                    )
                )
        return self.bars


@pytest.fixture
def _our_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{Path(__file__).parents[1] / 'support'}"
    monkeypatch.setenv("PYTHONPATH", path, prepend=":")


def by_numpy(model: Path, bars: Sequence[WrittenBar]) -> list[WrittenBar]:
    writer = make_writer(GeneratorSetup("model", str(model)))
    items = [Item(written.request) for written in bars]
    return [
        WrittenBar(one.request, bar)
        for one, bar in zip(items, writer.write(items, TEMPO), strict=True)
    ]


@pytest.mark.process
@pytest.mark.usefixtures("_our_modules")
@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("absent", "cannot be used here"),
        ("full at load", "no room"),
        ("hang at load", "hangs: not loaded in 0.5 s"),
        ("full later", "no room"),
        ("no kernel image", "no kernel image"),
        ("illegal access", "illegal memory access"),
        ("hang", f"hangs: no answer in {HANG_SECONDS:g} s"),
        ("crash", "took the generator along"),
    ],
)
async def test_whatever_a_device_does_the_network_plays_on_the_cpu(
    model: Path, way: str, said: str
) -> None:
    stage = Stage(GeneratorSetup("model", str(model), device=f"cuda:{WAYS.index(way)}"))
    running = asyncio.create_task(stage.link.run())
    await stage.until(lambda: stage.link.device.state in ("waiting", "failed"))
    early = way in ("absent", "full at load", "hang at load")
    assert (stage.link.device.state == "failed") == early
    stage.link.song(rolls=True)
    bars = await stage.write(range(8))
    await stage.until(lambda: stage.link.device.faults > 0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert [bar.request.number for bar in bars] == list(range(8))
    # the network's own bars, every one of them: no bank, no bar twice, no bar left out
    assert bars == by_numpy(model, bars)
    assert stage.link.child.restarts == (way == "crash")
    report = stage.link.device
    assert (report.device, report.state, report.faults) == ("cpu", "failed", 1)
    assert said in report.said
    assert any(report.state == "playing" for report in stage.reports) != early

    status = Status(device=report, style="funk", seed=7)
    assert status.song == "funk, seed 7, written by the CPU"
    assert described(status, Seconds(0.0))["device"]["said"] == report.said
    seen = summary(json.loads(json.dumps(described(status, Seconds(0.0)))))
    assert f"device  the network runs on the CPU: {report.said}\n" in seen
    told = exposition(status, {})
    assert "drumigen_device_faults_total 1" in told
    assert 'drumigen_device{device="cpu",state="failed"} 1' in told


@pytest.mark.process
@pytest.mark.usefixtures("_our_modules")
def test_the_doctor_times_the_cpu_in_place_of_a_device_that_fails(model: Path) -> None:
    said = {
        "absent": "cannot be used here",
        "full at load": "no room",
        "full later": "no room",
        "no kernel image": "no kernel image",
        "illegal access": "illegal memory access",
        "hang": "hangs: no answer in 1 s",
        "hang at load": "hangs: no answer in 1 s",
    }
    command = [sys.executable, "-m", "failing_device", "doctor", str(model), "well", *said]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for way, words in said.items():
        generator, gpu = found[way]
        assert "writes a bar in" in generator
        assert "on the CPU" in generator
        assert gpu.startswith("warn")
        assert words in gpu
        assert "the network runs on the CPU" in gpu
    generator, gpu = found["well"]
    assert f"on cuda:{WAYS.index('well')}" in generator
    assert gpu.startswith("ok")


@pytest.mark.process
@pytest.mark.usefixtures("_our_modules")
async def test_a_quicker_device_is_used_from_the_next_start_of_a_song_on(
    model: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "state" / "devices.json"
    stage = Stage(GeneratorSetup("model", str(model), device="auto", verdicts=str(kept)))
    stage.link.song(rolls=True)  # a song rolls while the device gets ready
    running = asyncio.create_task(stage.link.run())
    await stage.write([0])
    await stage.until(lambda: stage.link.device.state == "waiting")
    await stage.write([1])
    assert stage.link.device.device == "cpu"
    stage.link.song(rolls=False)
    stage.link.song(rolls=True)
    await stage.write(range(2, 4))
    report = stage.link.device
    assert (report.device, report.state, report.faults) == ("cuda:0", "playing", 0)
    assert (report.cpu_seconds, report.device_seconds) == (0.020, 0.004)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert stage.bars == by_numpy(model, stage.bars)
    (verdict,) = verdicts._read(kept)
    assert verdict.is_quicker


@pytest.mark.process
@pytest.mark.usefixtures("_our_modules")
async def test_a_slower_device_is_left_alone(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOUND", f"cuda:{WAYS.index('slower')}")
    stage = Stage(GeneratorSetup("model", str(model), device="auto"))
    running = asyncio.create_task(stage.link.run())
    await stage.until(lambda: stage.link.device.state == "slower")
    stage.link.song(rolls=True)
    await stage.write(range(2))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert stage.link.device.device == "cpu"
    assert stage.link.device.device_seconds > stage.link.device.cpu_seconds


def test_a_fault_takes_the_verdict_away(tmp_path: Path) -> None:
    file = tmp_path / "devices.json"
    verdicts.keep(file, Verdict("a", "cuda", 0.02, 0.004))
    verdicts.keep(file, Verdict("b", "cuda", 0.02, 0.03))
    assert verdicts.find(file, "a") == Verdict("a", "cuda", 0.02, 0.004)
    verdicts.keep(file, Verdict("a", "cuda", fault="cuda hangs"))
    found = verdicts.find(file, "a")
    assert found is not None
    assert not found.is_quicker
    assert verdicts.find(file, "b") is not None
    file.write_text("{")
    assert verdicts.find(file, "a") is None
    for number in range(40):
        verdicts.keep(file, Verdict(str(number), "cuda"))
    assert verdicts.find(file, "39") is not None
    assert file.stat().st_size < 4096


def test_a_verdict_is_of_one_machine_model_and_driver(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = verdicts.verdict_key(model, "cuda")
    assert key == verdicts.verdict_key(model, "cuda")
    other = tmp_path / "other.safetensors"
    other.write_bytes(model.read_bytes() + b" ")
    assert key not in (verdicts.verdict_key(other, "cuda"), verdicts.verdict_key(model, "cuda:1"))
    monkeypatch.setattr(verdicts, "driver", lambda: "another")
    assert key != verdicts.verdict_key(model, "cuda")


def test_torch_is_asked_for_only_where_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_: str | None) -> str:
        pytest.fail("torch was asked")

    monkeypatch.setattr(device_writer, "detect_device", never)
    monkeypatch.setattr(device_writer, "gpu_may_be_here", lambda: False)
    assert found_device("auto") == ("", "")
    assert found_device("cpu") == ("", "")
    assert found_device("cuda:1") == ("", "cuda:1 is asked for, and no GPU is seen")
    monkeypatch.setattr(device_writer, "gpu_may_be_here", lambda: True)
    monkeypatch.setattr(device_writer, "torch_is_installed", lambda: False)
    device, said = found_device("auto")
    assert not device
    assert "pip install 'drumigen[gpu]'" in said
    assert "make play GPU=1" in said


@pytest.mark.process
def test_a_trial_measures_both_in_a_process_of_its_own(model: Path) -> None:
    setup = GeneratorSetup("model", str(model), device="auto")
    verdict = tried(setup, "cuda:7")  # which is not here
    assert not verdict.is_quicker
    assert "cuda:7" in verdict.fault
    assert "\n" not in verdict.fault


def test_a_real_batch_is_the_next_bar_and_fill_of_all_styles_after_bars_of_their_own(
    model: Path,
) -> None:
    writer = make_writer(GeneratorSetup("model", str(model)))
    batch = real_batch(writer, ["funk", "jazz"], 2)
    asked = [(one.request.style, one.request.fill, len(one.context)) for one in batch]
    assert asked == [
        ("funk", False, 2),
        ("funk", True, 2),
        ("jazz", False, 2),
        ("jazz", True, 2),
    ]


def test_bars_that_the_bank_writes_for_the_network_are_not_said_to_be_generated(
    tmp_path: Path,
) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nothing")
    writer = make_live_writer(GeneratorSetup("model", str(broken), device="auto"))
    report, _ = first_words(writer)
    assert isinstance(report, DeviceReport)
    assert (report.device, report.state) == ("none", "failed")
    assert "broken.safetensors" in report.said
    seen = summary(json.loads(json.dumps(described(Status(device=report), Seconds(0.0)))))
    assert f"device  the bar bank writes: {report.said}\n" in seen
    assert Status(device=report, style="funk").song == "funk, seed 1, written by the bar bank"
    memory = SongMemory()
    for number, made in enumerate((writer, make_writer(GeneratorSetup("bank")))):
        reply = batch_reply(made, batch_of(1, (item(number),), TEMPO))
        (written,) = reply.bars
        memory.keep_written(written)
        found = memory.find(written.request)
        assert found is not None
        assert found[1] is (Origin.BANK if made is writer else Origin.GENERATED)


def test_who_plays_offline_uses_the_cpu_unless_told(
    model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(devices, "gpu_may_be_here", lambda: True)
    monkeypatch.setattr(devices, "_torch", lambda: pytest.fail("torch was asked"))
    items = [item(0), item(1)]
    bars = make_writer(GeneratorSetup("model", str(model), device="auto")).write(items, TEMPO)
    monkeypatch.undo()
    # one that is named and not there: the network on the CPU, never the bank
    named = make_writer(GeneratorSetup("model", str(model), device="cuda:9"))
    assert named.write(items, TEMPO) == bars
    assert "cuda:9" in caplog.text
