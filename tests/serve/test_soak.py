"""A server for a long time, with clients of every kind and with reloads: nothing wrong, nothing lost, memory flat."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from PIL import Image

import netc_runtime
from tests.serve.conftest import Served, write_lenet5, write_model
from tests.serve.traffic import Traffic, Wire, by_bytes, by_gzip, by_json, request

SECONDS = float(os.environ.get("NETC_SOAK_SECONDS", "3600"))
MOST_GROWTH = 1.05
MOST_GROWTH_KIB = 8 << 10


@dataclass
class Period:
    """When a version of a model may have answered: from before its load was asked for to after the next one's end."""

    weight: Any
    begin: float
    end: float = float("inf")


@dataclass
class Changing:
    """A model whose weights change: what its scores may be at a time."""

    folder: Path
    seed: int = 0
    periods: list[Period] = field(default_factory=list[Period])

    @property
    def path(self) -> Path:
        return self.folder / "1" / "model.onnx"

    def write(self) -> None:
        """Put the next weights in place."""
        self.seed += 1
        weight = np.random.RandomState(self.seed).standard_normal((16, 3)).astype(np.float32)
        self.periods.append(Period(weight, time.monotonic()))
        write_model(self.path, self.seed)

    def loaded(self) -> None:
        """The last weights that were written serve now; those before them have answered what they had."""
        for period in self.periods[:-1]:
            period.end = min(period.end, time.monotonic())
        self.periods = self.periods[-40:]  # a request takes less than their seconds

    def wrong(self, x: Any, scores: Any, sent: float, answered: float) -> str | None:
        flat = x.reshape(len(x), 16)
        might = [each for each in self.periods if each.begin <= answered and each.end >= sent]
        if any(np.allclose(scores, flat @ each.weight, atol=1e-4) for each in might):
            return None
        return f"{len(x)} rows have scores that none of {len(might)} versions gives: {scores[:2]}"


@dataclass
class Sample:
    """What the process has."""

    rss_kib: int
    threads: int
    files: int

    @classmethod
    def of(cls, pid: int) -> "Sample":
        lines = (line.split(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        told = {name: value.split() for name, value in lines}
        return cls(int(told["VmRSS"][0]), int(told["Threads"][0]), len(list(Path(f"/proc/{pid}/fd").iterdir())))


class Soak:
    """The server, its models and what asks it."""

    def __init__(self, folder: Path, serving: Callable[..., Served], root: Path, *options: str) -> None:
        self.models = folder / "models"
        self.tiny = Changing(self.models / "tiny")
        self.crowded = Changing(self.models / "crowded")
        for each in (self.tiny, self.crowded):
            each.write()
        self.lenet5 = write_lenet5(self.models, root)
        self.oracle = netc_runtime.load(self.lenet5, "cpu", threads=1, cache=False)
        self.server = serving(self.models, *options)
        self.port = int(self.server.url.rpartition(":")[2])
        self.pid = self.server.process.pid
        rights = {"tiny": self.tiny.wrong, "crowded": self.crowded.wrong, "lenet5": self._wrong}
        self.traffic = Traffic(self.port, rights, seed=1)
        self.samples: list[Sample] = []
        self.reloads = 0

    def _wrong(self, x: Any, scores: Any, _sent: float, _answered: float) -> str | None:
        (expected,) = self.oracle.predict(x).values()
        return None if np.allclose(scores, expected, atol=1e-4) else f"{len(x)} rows have other scores: {scores[:1]}"

    def label(self, picture: Any) -> str:
        (found,) = self.oracle.predict_images([Image.fromarray(picture)], top=1)
        (decoded,) = found.outputs.values()
        return decoded.labels[0].name

    async def call(self, path: str, status: int) -> None:
        """Call the repository; the answer must be this."""
        wire = await Wire.open(self.port)
        answer = await wire.ask(request(path, b""))
        wire.close()
        if answer.status != status:
            self.traffic.fail(f"{path}: {answer.status} {answer.body[:300]!r}, expected {status}")

    async def reload(self, model: Changing) -> None:
        model.write()
        await self.call(f"/v2/repository/models/{model.folder.name}/load", 200)
        model.loaded()
        self.reloads += 1

    async def every_second(self, step: Callable[[int], Coroutine[Any, Any, None]]) -> None:
        number = 0
        while not self.traffic.over:
            due = time.monotonic() + 1
            number += 1
            await step(number)
            await asyncio.sleep(max(due - time.monotonic(), 0))

    async def operate(self, number: int) -> None:
        """What is done to the server in a second of the long test."""
        await self.reload(self.tiny)
        if number % 5 == 0:
            beside = self.lenet5.with_name("model.new")
            beside.write_bytes(self.lenet5.read_bytes())
            beside.rename(self.lenet5)  # the same bytes, another file
            await self.call("/v2/repository/models/lenet5/load", 200)
            await self.reload(self.crowded)
        if number % 10 == 3:
            self.tiny.path.write_bytes(b"broken")
            await self.call("/v2/repository/models/tiny/load", 400)  # and the old one serves
        if number % 15 == 7:
            guest = self.models / "guest" / "1" / "model.onnx"
            write_model(guest)
            await self.call("/v2/repository/models/guest/load", 200)
            await self.call("/v2/repository/models/guest/unload", 200)
            guest.unlink()

    async def sample(self, seconds: float) -> None:
        while not self.traffic.over:
            self.samples.append(Sample.of(self.pid))
            await asyncio.sleep(seconds)

    @contextlib.asynccontextmanager
    async def going(self, *clients: Coroutine[Any, Any, None]) -> AsyncGenerator[None]:
        """The clients at work; afterwards all have ended, and none by an error of its own."""
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(client)
            yield
            self.traffic.over = True

    def __enter__(self) -> "Soak":
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()

    def end(self) -> None:
        """See that all was well, to the end of the process."""
        assert self.traffic.wrong == [], "\n".join(self.traffic.wrong[:20])
        assert self.server.stop() == 0
        log = self.server.log.read_text()
        assert "Traceback" not in log, log[-5000:]


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_reload_every_second_for_a_minute_fails_no_request(
    tmp_path: Path, root: Path, serving: Callable[..., Served]
) -> None:
    async def minute(soak: Soak) -> None:
        traffic = soak.traffic
        good = [traffic.good("tiny", write, rows, 0.001) for write in (by_json, by_bytes) for rows in (1, 1, 3, 100)]
        async with soak.going(soak.every_second(lambda _: soak.reload(soak.tiny)), *good):
            await asyncio.sleep(60)

    with Soak(tmp_path, serving, root, "--drain-seconds", "1") as soak:
        asyncio.run(minute(soak))
        print(f"{soak.reloads} reloads, {soak.traffic.counts.total():,} answers")  # noqa: T201
        assert soak.reloads >= 50
        assert soak.traffic.counts.total() > 5000
        soak.end()


@pytest.mark.long
@pytest.mark.timeout(SECONDS + 300)
def test_a_long_time_of_mixed_clients_with_reloads(tmp_path: Path, root: Path, serving: Callable[..., Served]) -> None:
    """NETC_SOAK_SECONDS says how long: an hour."""

    async def hour(soak: Soak) -> None:
        traffic = soak.traffic
        async with soak.going(
            *(traffic.good("tiny", write, rows, 0.02) for write in (by_json, by_bytes) for rows in (1, 1, 3, 100)),
            *(traffic.good("lenet5", write, rows, 0.05) for write in (by_json, by_bytes, by_gzip) for rows in (1, 9)),
            traffic.good("lenet5", by_json, 300, 1.0),  # read beside the loop, and more rows than run together
            traffic.pictures("lenet5", soak.label, 0.05),
            *(traffic.bad("tiny", 0.05) for _ in range(3)),
            *(traffic.slow("tiny", 0.5) for _ in range(5)),
            *(traffic.vanishing(["tiny", "lenet5"], 0.05) for _ in range(3)),
            traffic.crowd("crowded", 2.0),
            soak.every_second(soak.operate),
            soak.sample(max(SECONDS / 120, 0.2)),
        ):
            await asyncio.sleep(SECONDS)

    limits = ("--drain-seconds", "1", "--head-seconds", "5", "--body-seconds", "5", "--body-mib", "8")
    with Soak(tmp_path, serving, root, *limits) as soak:
        asyncio.run(hour(soak))
        rss, threads, files = zip(*((one.rss_kib, one.threads, one.files) for one in soak.samples), strict=True)
        for name, told in (("resident KiB", rss), ("threads", threads), ("open files", files)):
            before, after = thirds(told)
            print(f"{name}: {told[0]:,} at first, {before:,.0f} and {after:,.0f} later, at most {max(told):,}")  # noqa: T201
        tenths = [rss[len(rss) * part // 10] for part in range(10)] if len(rss) >= 10 else list(rss)
        print(f"resident KiB at each tenth: {', '.join(f'{each:,}' for each in tenths)}")  # noqa: T201
        did = ", ".join(f"{count:,} {what}" for what, count in sorted(soak.traffic.counts.items()))
        print(f"{soak.reloads:,} reloads; {did}")  # noqa: T201
        every_kind = {
            "refused",
            "too slow",
            "vanished",
            "answered in a crowd",
            "told to come again",
            "answered picture",
        }
        assert every_kind <= soak.traffic.counts.keys()
        before, after = thirds(rss)
        assert after <= max(before * MOST_GROWTH, before + MOST_GROWTH_KIB)
        before, after = thirds(files)
        assert after <= before + 5
        before, after = thirds(threads, min)  # of a load that runs just now there are more: what is left behind stays
        print(f"threads: at least {before:,} and {after:,} later")  # noqa: T201
        assert after <= before + 1
        soak.end()


def thirds(told: Sequence[int], of: Callable[[Sequence[int]], float] = median) -> tuple[float, float]:
    """The medians, or what else, of the second and the last third; in the first, it warms up."""
    third = len(told) // 3
    return of(told[third : 2 * third]), of(told[2 * third :])
