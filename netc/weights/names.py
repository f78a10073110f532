"""Names without what wrappers put before them, so that they are the net's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from netc.diagnostic import Fault, cut
from netc.graph import Graph
from netc.weights.fit import COUNTER
from netc.weights.stored import Found, Stored

_COMPILED = "_orig_mod"  # torch.compile's module around the module
_PARALLEL = "module"  # DataParallel's, DistributedDataParallel's, AveragedModel's
_AVERAGED = "n_averaged"  # what AveragedModel counts
LISTED = 6


def named(found: Found, graph: Graph) -> tuple[dict[str, Stored], tuple[str, ...]]:
    """What was found under the net's names: without `module.`, `_orig_mod.` and one prefix in common, such as a
    trainer's `model.`; and what the user has to know about it.

    Raises: Fault N443 where two tensors would have one name, N442 where several prefixes are as good.
    """
    expected = [name for name, _ in graph.parameters()]
    if set(found.tensors) == set(expected):
        return dict(found.tensors), ()
    plain = _unwrapped(found, expected)
    prefix = _prefix(found.name, plain, expected)
    if not prefix:
        return plain, ()
    inside = {name.removeprefix(prefix): tensor for name, tensor in plain.items() if name.startswith(prefix)}
    outside = [name for name in plain if not name.startswith(prefix)]
    notes = [f"{found.name}: names are taken without `{prefix}`"]
    if outside and not _whole(inside, expected):
        inside |= {name: plain[name] for name in outside if name not in inside}
    elif outside:
        more = f" and {len(outside) - LISTED} more" if len(outside) > LISTED else ""
        listed = ", ".join(cut(name, 200) for name in outside[:LISTED])
        notes.append(f"{found.name}: left out is what stands elsewhere: {listed}{more}")
    return inside, tuple(notes)


def _unwrapped(found: Found, expected: Iterable[str]) -> dict[str, Stored]:
    own = any(name.split(".")[0] == _PARALLEL for name in expected)
    plain: dict[str, Stored] = {}
    before: dict[str, str] = {}
    averaged = False
    for name, tensor in found.tensors.items():
        parts = [part for part in name.split(".") if part != _COMPILED]
        while not own and len(parts) > 1 and parts[0] == _PARALLEL:
            parts, averaged = parts[1:], True
        short = ".".join(parts)
        if short in plain:
            raise Fault(
                "N443",
                f"{found.name}: {cut(before[short], 200)} and {cut(name, 200)} would both be {cut(short, 200)}",
                help="the file holds a net twice: save one of the two, or choose names with --map",
            )
        plain[short], before[short] = tensor, name
    if averaged and _AVERAGED not in expected:
        plain.pop(_AVERAGED, None)
    return plain


def _prefix(source: str, plain: dict[str, Stored], expected: list[str]) -> str:
    """The prefix, with its dot, behind which most of the net's names stand; empty where they stand without one."""
    wanted = set(expected)
    as_they_are = sum(1 for name in plain if name in wanted)
    if as_they_are == len(wanted):
        return ""
    votes: Counter[str] = Counter()
    for name in plain:
        at = -1
        while (at := name.find(".", at + 1)) >= 0:
            if name[at + 1 :] in wanted:
                votes[name[: at + 1]] += 1
    best = votes.most_common(2)
    if not best or best[0][1] <= max(as_they_are, len(wanted) // 2):  # a block may hold layers called as the net's
        return ""
    if len(best) > 1 and best[1][1] == best[0][1]:
        shown = " and ".join(f"`{cut(prefix, 100)}`" for prefix, _ in best)
        raise Fault(
            "N442",
            f"{source}: the net's names stand there twice, behind {shown}",
            help="choose one with --weights-key, without the dot at its end",
        )
    return best[0][0]


def _whole(inside: dict[str, Stored], expected: Iterable[str]) -> bool:
    return all(name in inside for name in expected if name.rpartition(".")[2] != COUNTER)
