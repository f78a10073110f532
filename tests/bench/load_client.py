"""A client of a server over HTTP: one request, again and again, over some connections; in a process of its own.

`python tests/bench/load_client.py` takes an object of JSON on standard input: host, port, `file` with a request's
bytes, connections, seconds, and `rate`: so many requests a second, whether or not answers come, or 0 for one after the
other on each connection. It gives an object back: requests that were answered with 200, others, the seconds, what they
took (at a rate from when they were due), and the client's own seconds of processor.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, cast

import uvloop

PATIENCE_S = 60  # for what was asked before the time was over


class Connection(asyncio.Protocol):
    """Sends the request when it is told to, and times the answer."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.due = 0.0
        self.got = b""
        self.needs = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, due: float) -> None:
        self.load.asks += 1
        self.due, self.got, self.needs = due, b"", 0
        self.transport.write(self.load.request)

    def data_received(self, data: bytes) -> None:
        self.got += data
        if not self.needs:
            end = self.got.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self.got[:end].lower()
            at = head.find(b"content-length:")
            self.needs = end + 4 + int(head[at + 15 :].split(b"\r\n", 1)[0])
        if len(self.got) >= self.needs:
            self.load.answered(self, self.got[9:12] == b"200")

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.load.closed:
            self.load.lost += 1


class Load:
    """The connections, and what came of them."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.request = Path(asked["file"]).read_bytes()
        self.asked = asked
        self.seconds: list[float] = []
        self.others = self.lost = 0
        self.over = self.closed = False
        self.asks = 0  # connections that wait for an answer
        self.done = asyncio.Event()
        self.idle: deque[Connection] = deque()
        self.waiting: deque[float] = deque()

    def answered(self, connection: Connection, fine: bool) -> None:
        now = time.perf_counter()
        self.asks -= 1
        if fine:
            self.seconds.append(now - connection.due)
        else:
            self.others += 1
        if self.over:
            if not self.asks:
                self.done.set()
            return
        if not self.asked["rate"]:
            connection.send(now)
        elif self.waiting:
            connection.send(self.waiting.popleft())
        else:
            self.idle.append(connection)

    async def run(self) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        made = [
            (await loop.create_connection(lambda: Connection(self), self.asked["host"], self.asked["port"]))[1]
            for _ in range(self.asked["connections"])
        ]
        began, cpu = time.perf_counter(), time.process_time()
        if self.asked["rate"]:
            self.idle.extend(made)
            await self.pace(began)
        else:
            for each in made:
                each.send(time.perf_counter())
            await asyncio.sleep(self.asked["seconds"])
        # What was asked is waited for and counted: a large net's batch in flight is a tenth of all answers.
        self.over = True
        if self.asks:
            await asyncio.wait_for(self.done.wait(), PATIENCE_S)
        took, spent = time.perf_counter() - began, time.process_time() - cpu
        self.closed = True
        for each in made:
            each.transport.abort()
        times = sorted(self.seconds)
        return {
            "answered": len(times),
            "others": self.others + self.lost,
            "seconds": took,
            "p50": percentile(times, 0.5),
            "p99": percentile(times, 0.99),
            "client": spent / took,
        }

    async def pace(self, began: float) -> None:
        rate, seconds, sent = self.asked["rate"], self.asked["seconds"], 0
        while (now := time.perf_counter()) - began < seconds:
            while began + sent / rate <= now:
                due = began + sent / rate
                sent += 1
                if self.idle:
                    self.idle.popleft().send(due)
                else:
                    self.waiting.append(due)
            await asyncio.sleep(max(began + sent / rate - time.perf_counter(), 0))


def percentile(times: list[float], share: float) -> float | None:
    """The value below which this share of the sorted times lies."""
    return times[int(share * (len(times) - 1))] if times else None


if __name__ == "__main__":
    load = Load(json.load(sys.stdin))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        json.dump(runner.run(load.run()), sys.stdout)
