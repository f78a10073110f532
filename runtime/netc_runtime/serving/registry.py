"""The models that a server has: their versions loaded, swapped and closed without a request being lost."""

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from netc_runtime.errors import RuntimeFault, ServeFault
from netc_runtime.serving.admission import Limits
from netc_runtime.serving.loading import open_version
from netc_runtime.serving.repository import Found, Repository, Stamp, name_of, version_of
from netc_runtime.serving.served import Served
from netc_runtime.serving.worker import aside
from netc_runtime.session import Model

State: TypeAlias = Literal["READY", "LOADING", "UNAVAILABLE"]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the index. A version may be READY and have a reason: why the newer file in its place is not served."""

    name: str
    version: int
    state: State
    reason: str


@dataclass(slots=True)
class _Slot:
    """A version on disk: what is served of it, and the files that were last seen and last tried."""

    served: Served | None = None
    loading: bool = False
    reason: str = ""
    seen: Stamp | None = None
    tried: Stamp | None = None
    verdict: str = ""  # on the files last tried: why they are not served, or nothing


class Registry:
    """The models of a repository; everything here is called in one event loop, and loads go on beside it.

    `load` opens a model's file; `ahead` gives what was opened before there was a registry. `latest` bounds how many
    versions of a model are kept, and `most` how many in all. `died` is called when a worker has died.
    """

    def __init__(
        self,
        repository: Repository,
        load: Callable[[Path], Model],
        *,
        ahead: Callable[[Found], Model | None] = lambda _: None,
        limits: Limits | None = None,
        latest: int | None = None,
        most: int = 64,
        died: Callable[[], None] = lambda: None,
    ) -> None:
        self._repository = repository
        self._load_file = load
        self._ahead = ahead
        self._limits = limits or Limits()
        self._latest = latest
        self._most = most
        self._died = died
        self._models: dict[str, dict[int, _Slot]] = {}
        self._unloaded: dict[str, list[int]] = {}  # by call, with their versions: polling leaves them alone
        self._closing: dict[asyncio.Task[None], Served] = {}
        self._asked: dict[str, asyncio.Task[None]] = {}  # what load calls wait for, and has not begun
        self._needed: set[str] = set()  # the models without one of which the server is not ready
        self._lock = asyncio.Lock()  # one change at a time; requests do not wait for it
        self._started = False
        self._draining = False

    async def start(self) -> None:
        """Load every model; one that cannot be loaded is UNAVAILABLE, and the others are served.

        Raises: ServeFault R542.
        """
        await self._update(None, patient=False)

    async def poll(self) -> None:
        """Follow what has changed on disk since the last time.

        Files are loaded when they have stayed the same from one poll to the next, and once: those that failed are left
        alone until they change. A model that was unloaded by call stays so.

        Raises: ServeFault R542; what is served stays so.
        """
        await self._update(None, patient=True)

    async def load(self, name: str) -> None:
        """Load a model's versions, those again whose files have changed or could not be loaded.

        A caller that is cancelled leaves the load to its end: there is no stopping it, and the next one finds it.

        Raises: ServeFault R540 when there is none of this name, R542; R543 when its latest version cannot be loaded.
        """
        if name_of(name) is None:
            raise _no_model(name)
        update = self._asked.get(name)
        if update is None:
            update = self._asked[name] = asyncio.create_task(self._update(name, patient=False))
            update.add_done_callback(_forgotten)
        try:
            await asyncio.shield(update)
        finally:
            del update  # a fault keeps this frame, which would keep the fault
        slots = self._models.get(name)
        if not slots:
            raise _no_model(name)
        latest = slots[max(slots)]
        if latest.reason:
            raise ServeFault("R543", f"{name} {max(slots)} is not loaded: {latest.reason}", "put a sound file there")

    async def unload(self, name: str) -> None:
        """Take a model out of service; requests that it has are answered.

        Raises: ServeFault R540.
        """
        async with self._lock:
            if name not in self._models:
                raise _no_model(name)
            slots = self._models.pop(name)
            self._needed.discard(name)
            self._unloaded[name] = sorted(slots)
            for slot in slots.values():
                self._retire(slot)

    async def drain(self) -> None:
        """Take no more requests and answer those that are held, then close every model."""
        # A load that goes on is not waited for: it finds that the server drains, and is thrown away.
        self._draining = True
        for slots in self._models.values():
            for slot in slots.values():
                self._retire(slot)
        await self.settled()

    async def settled(self) -> None:
        """Wait until every version that was taken out of service has answered its requests and is closed."""
        while self._closing:
            await asyncio.gather(*self._closing)

    def held(self, name: str, version: str | None = None) -> Served:
        """Give the version that is asked for, or the latest that is ready, and keep it from closing meanwhile.

        Raises: ServeFault R531 when the server drains, R540 or R541 when there is none, R544 when it is not ready.
        """
        # Mostly there is one.
        slots = self._models.get(name)
        if version is None and slots is not None and len(slots) == 1 and not self._draining:
            (slot,) = slots.values()
            if slot.served is not None:
                return slot.served
        return self._find(name, version)

    @property
    def ready(self) -> bool:
        """Whether every model that was there at the start, or has been served, has a version that answers.

        One that is put there later, and cannot be loaded, takes nobody away from the others.
        """
        if not self._started or self._draining:
            return False
        return all(self._answers(slots) for name, slots in self._models.items() if name in self._needed)

    @property
    def live(self) -> bool:
        """Whether no model's worker has died or hangs, nor one's that is being closed."""
        return all(served.batcher.live for served in self.at_work())

    def at_work(self) -> list[Served]:
        """Give every version that may have a batch running: those that are ready, and those that are being closed."""
        return [*self.served(), *self._closing.values()]

    def served(self) -> list[Served]:
        """Give every version that is ready."""
        slots = [slot for versions in self._models.values() for slot in versions.values()]
        return [slot.served for slot in slots if slot.served is not None]

    def index(self) -> list[Entry]:
        """Give every version that was found, by name and number."""
        found = [
            Entry(
                name,
                version,
                "READY" if slot.served is not None else "LOADING" if slot.loading else "UNAVAILABLE",
                slot.reason,
            )
            for name, slots in self._models.items()
            for version, slot in slots.items()
        ]
        unloaded = [
            Entry(name, version, "UNAVAILABLE", "it was unloaded")
            for name, versions in self._unloaded.items()
            for version in versions
        ]
        return sorted(found + unloaded, key=lambda entry: (entry.name, entry.version))

    def versions(self, name: str) -> list[int]:
        """Give the versions of a model that are ready, the latest last.

        Raises: ServeFault R540.
        """
        if name not in self._models:
            raise _no_model(name)
        return sorted(version for version, slot in self._models[name].items() if slot.served is not None)

    def statistics(self, name: str | None = None, version: str | None = None) -> dict[str, Any]:
        """Give what each ready version has done, or one model's, as the protocol's statistics extension has it.

        Raises: ServeFault R540, R541 or R544 when what is named is not there.
        """
        chosen = self.served()
        if version is not None and name is not None:
            chosen = [self._find(name, version)]
        elif name is not None:
            if name not in self._models:
                raise _no_model(name)
            chosen = [served for served in chosen if served.name == name]
        return {
            "model_stats": [
                {"name": each.name, "version": str(each.version), **each.batcher.tally.to_dict()}
                for each in sorted(chosen, key=lambda each: (each.name, each.version))
            ]
        }

    def _find(self, name: str, version: str | None) -> Served:
        if self._draining:
            raise ServeFault("R531", f"{name} takes no more requests", "the server ends; ask another one", 1.0)
        slots = self._models.get(name)
        if slots is None:
            if not self._started:  # it may be one of those whose turn to be loaded has not come
                raise ServeFault("R544", f"{name[:128]!r} is not ready: the models are being loaded", "come again", 1.0)
            raise _no_model(name)
        if version is None:
            ready = [one for one, slot in slots.items() if slot.served is not None]
            number = max(ready or slots)
        else:
            asked = version_of(version)
            if asked is None or asked not in slots:
                raise ServeFault(
                    "R541",
                    f"{name} has no version {version[:40]!r}",
                    f"it has {', '.join(map(str, sorted(slots)))}",
                )
            number = asked
        slot = slots[number]
        if slot.served is None:
            why = "is being loaded" if slot.loading else f"is not ready: {slot.reason}"
            raise ServeFault("R544", f"{name} {number} {why}", "come again", 1.0 if slot.loading else None)
        return slot.served

    @staticmethod
    def _answers(slots: dict[int, _Slot]) -> bool:
        served = [slot.served for slot in slots.values() if slot.served is not None]
        return bool(served) and all(each.batcher.failed is None for each in served)

    async def _update(self, only: str | None, *, patient: bool) -> None:
        async with self._lock:
            if only is not None:
                self._asked.pop(only, None)  # who asks from now on waits for the next one
            found = await aside(self._repository.scan)
            if only is not None:
                self._unloaded.pop(only, None)
            for name in sorted({*found, *self._models} - self._unloaded.keys()):
                if self._draining:
                    return
                if only in (None, name):
                    await self._update_model(name, found.get(name, {}), patient=patient, again=only is not None)
            if only is None and not self._started:
                self._needed.update(self._models)
                self._started = True

    async def _update_model(self, name: str, found: dict[int, Found], *, patient: bool, again: bool) -> None:
        slots = self._models.setdefault(name, {})
        wanted = sorted(found, reverse=True)[: self._latest]
        for version in wanted:
            slot = slots.setdefault(version, _Slot())
            each = found[version]
            if each.problem:
                slot.reason = self._relative(each.problem)
            elif slot.tried != each.stamp or (again and (slot.served is None or slot.verdict)):
                if patient and slot.seen != each.stamp:
                    slot.seen = each.stamp
                    slot.reason = "its files are new; they are loaded when they have stayed the same for two polls"
                else:
                    # A version that goes when this one serves takes no place.
                    stay = [one for one in self.served() if one.name != name or one.version in wanted]
                    await self._load(name, version, slot, each, len(stay))
            else:
                slot.reason = slot.verdict
        wanted_serve = all(slots[version].served is not None for version in wanted)
        for version in [version for version in slots if version not in wanted]:
            # What is removed goes; what is only old goes when the newer ones serve.
            if version not in found or wanted_serve:
                self._retire(slots.pop(version))
        if not slots:
            del self._models[name]
            self._needed.discard(name)

    async def _load(self, name: str, version: int, slot: _Slot, found: Found, loaded: int) -> None:
        if slot.served is None and loaded >= self._most:
            fault = ServeFault("R545", f"{self._most} models are loaded, the most that may be", "unload one of them")
            slot.reason = self._said(fault)
            return
        slot.loading = True
        try:
            served = await self._opened(name, version, found, slot.served)
        except RuntimeFault as fault:
            slot.verdict = self._said(fault)
        except Exception as error:  # a bug of ours or of a library: the server goes on with what it has
            _log.exception("%s %s cannot be loaded", name, version)
            slot.verdict = f"it fails with {type(error).__name__}; see the server's log"
        else:
            slot.verdict = ""
            if self._draining:
                self._close(served)
                return
            self._needed.add(name)
            old, slot.served = slot.served, served
            if old is not None:
                self._close(old)
        finally:
            slot.loading = False
        slot.tried, slot.reason = found.stamp, slot.verdict

    async def _opened(self, name: str, version: int, found: Found, old: Served | None) -> Served:
        model = await aside(lambda: self._ahead(found) or open_version(self._repository, found, self._load_file))
        tally = None if old is None else old.batcher.tally  # counters go on over a reload
        served = Served(name, version, model, self._limits, tally=tally, died=self._died)
        try:
            await served.warm_up()
        except BaseException:
            self._close(served)
            raise
        return served

    def _retire(self, slot: _Slot) -> None:
        if slot.served is not None:
            self._close(slot.served)
            slot.served = None

    def _close(self, served: Served) -> None:
        task = asyncio.create_task(served.close())
        self._closing[task] = served
        task.add_done_callback(self._closing.pop)

    def _said(self, fault: RuntimeFault) -> str:
        return self._relative(f"{fault.message} [{fault.code}]")

    def _relative(self, text: str) -> str:
        """Leave out where the repository lies: the index is read by strangers."""
        root = self._repository.root
        return text.replace(f"{root if root.is_dir() else root.parent}{os.sep}", "")


def _forgotten(update: "asyncio.Task[None]") -> None:
    if not update.cancelled():
        update.exception()  # whoever asked may have gone: a fault that nobody reads is not worth a warning


def _no_model(name: str) -> ServeFault:
    return ServeFault("R540", f"there is no model {name[:128]!r}", "the index names those that there are")
