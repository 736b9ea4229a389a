"""Turns on a device: who has it, who waits, who is dead. Real locks, real processes."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from persona_training.device_queue import (
    Device,
    DeviceInUseError,
    Holder,
    StoppedWaiting,
    find_devices,
    holder_of,
    memory_for_next_run,
)
from persona_training.display import Display
from persona_training.run_folder import RunFolder
from persona_training.turn import Turn


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    monkeypatch.setattr("persona_training.device_queue.LOOK_SECONDS", 0.02)
    return find_devices(torch.device("cpu"), tmp_path)[0]


def never() -> bool:
    return False


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 200
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_cpu_is_one_device(device: Device) -> None:
    assert device.name == "CPU"
    assert device.holder() is None
    with device.taken("personality-a", None, never):
        held = device.holder()
        assert held is not None
        assert held.adapter_id == "personality-a"
        assert "waiting for personality-a on CPU" in held.sentence(device.name)
        assert memory_for_next_run("cpu", device.folder.parent) is None
        assert holder_of([dataclasses.replace(device, key="free"), device]) == (held, device)
    assert device.holder() is None
    assert holder_of([device]) is None


def test_a_run_over_several_gpus_takes_them_all(device: Device, tmp_path: Path, display: Display) -> None:
    gpus = [dataclasses.replace(device, name=f"GPU {number}", key=f"gpu-{number}") for number in range(2)]
    run = RunFolder(tmp_path / "run", "personality-a")
    run.open()
    stop = threading.Event()
    with Turn(run, display, gpus, stop.is_set).taken(wait=False):
        assert [gpu.holder() is not None for gpu in gpus] == [True, True]
    with gpus[1].taken("personality-b", None, never):
        turn = Turn(run, display, gpus, stop.is_set)
        stop.set()
        with pytest.raises(StoppedWaiting), turn.taken(wait=True):
            raise AssertionError("both had it")
        state = json.loads((run.path / "run.json").read_text("utf-8"))
        assert (state["status"], state["waiting_for"]["device"]) == ("queued", "GPU 1")
        assert gpus[0].holder() is None, "what it had already is given back"
    run.close("interrupted", "")


def test_no_wait_refuses_and_names_the_holder(device: Device) -> None:
    with device.taken("personality-a", None, never):
        refusal = pytest.raises(DeviceInUseError, match=r"in use by personality-a .*--no-wait")
        with refusal as refused, device.taken("personality-b", None, never):
            raise AssertionError("both had it")
        assert refused.value.exit_code == 3
    with device.taken("personality-b", None, never):
        assert device.holder() is not None


def test_runs_take_turns_in_the_order_of_asking(device: Device) -> None:
    order: list[str] = []
    heard: list[Holder] = []
    at_once: list[int] = []
    inside = 0

    def ask(name: str) -> None:
        nonlocal inside
        with device.taken(name, heard.append, never):
            inside += 1
            at_once.append(inside)
            order.append(name)
            time.sleep(0.05)
            inside -= 1

    names = [f"run-{number}" for number in range(5)]
    threads = [threading.Thread(target=ask, args=(name,)) for name in names]
    with device.taken("first", None, never):
        for number, thread in enumerate(threads, start=1):
            thread.start()
            wait_for(lambda number=number: len(list(device.folder.glob("*.ticket"))) == number)  # type: ignore[misc]
        wait_for(lambda: len(heard) > 5)
    for thread in threads:
        thread.join(timeout=200)
    assert order == names
    assert set(at_once) == {1}
    assert heard[0].adapter_id == "first"
    assert not list(device.folder.glob("*.ticket"))


def test_a_run_that_stops_waiting_leaves_the_queue(device: Device) -> None:
    stop = threading.Event()
    with device.taken("first", None, never):
        with pytest.raises(StoppedWaiting), device.taken("second", lambda _: stop.set(), stop.is_set):
            raise AssertionError("both had it")
        assert not list(device.folder.glob("*.ticket"))


def test_a_dead_holder_and_dead_waiters_are_no_obstacle(device: Device) -> None:
    code = textwrap.dedent(
        f"""
        import time
        from pathlib import Path
        from persona_training.device_queue import Device
        device = Device("CPU", "cpu", Path({str(device.folder)!r}))
        with device.taken("doomed", lambda holder: None, lambda: False):
            time.sleep(600)
        """
    )
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]

    def in_order() -> list[subprocess.Popen[bytes]]:
        """The one that has it and the one that waits, as soon as they do."""
        held = device.holder()
        holders = [process for process in processes if held is not None and process.pid == held.pid]
        return [*holders, *(process for process in processes if list(device.folder.glob(f"*-{process.pid}.ticket")))]

    try:
        wait_for(lambda: len(set(in_order())) == len(in_order()) == 2)
        # The last first: while the holder lives, the one that waits cannot take its place.
        for process in reversed(in_order()):
            process.kill()
            process.wait(timeout=200)
        assert list(device.folder.glob("*.ticket"))
        with device.taken("heir", None, never):
            held = device.holder()
            assert held is not None
            assert held.adapter_id == "heir"
        assert not list(device.folder.glob("*.ticket"))
    finally:
        for process in processes:
            process.kill()
            process.wait(timeout=200)
