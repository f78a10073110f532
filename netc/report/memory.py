"""The memory that a net's values take, at inference and in training.

Inference memory. A value takes its elements in f32; it lives from the layer that makes it to its last reader, an input
from the start, an output to the end. What is only another view (`id`, `flatten`, `reshape`, `slice`, `crop`,
`subsample`; at inference dropout, too) shares the memory of what it shows, which lives as long as the longest of them.
A layer's result exists beside what it reads: nothing is computed in place. The peak is the most that lives at once.

Training memory. The same, and what torch's backward pass needs (`Layer.kept`, on the CPU) stays until the layer's own
backward pass is over. A layer keeps something only where its result depends on learned numbers. Going back, each value
that depends on learned numbers has a gradient of its size, from its last reader's backward pass to its own; a view's
gradient is that of what it shows where it shows all of it, else memory of its own.

Where torch may keep less, more is counted: of `mul` and `maximum` both operands, even if one does not depend on learned
numbers; of `fc(each=true)` a copy of what enters, even where its channels already lie last.

Neither counts weights, their gradients and their optimizer's state, nor what a kernel needs while it works.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netc.graph import Node
from netc.op import size_bytes
from netc.tensor import TensorType


def shows(node: Node, types: Mapping[str, TensorType], *, training: bool) -> bool:
    """Whether a node's value is another view of its first operand."""
    return node.op.views(*(types[name] for name in node.inputs)) or (node.op.inference_identity and not training)


def _roots(
    nodes: Sequence[Node], types: Mapping[str, TensorType], inputs: Sequence[str], training: bool
) -> dict[str, str]:
    """The value whose memory each value's is."""
    root = {name: name for name in inputs}
    for node in nodes:
        root[node.name] = root[node.inputs[0]] if shows(node, types, training=training) else node.name
    return root


def inference_peak(
    nodes: Sequence[Node], types: Mapping[str, TensorType], inputs: Sequence[str], outputs: Sequence[str]
) -> int:
    """The most bytes that live at once while the nodes run in their order."""
    root = _roots(nodes, types, inputs, training=False)
    last = _last_reads(nodes, root, inputs, outputs)
    size = {name: size_bytes(types[name]) for name in set(root.values())}
    live = peak = sum(size[name] for name in inputs)
    for i, node in enumerate(nodes):
        if root[node.name] == node.name:
            live += size[node.name]
        peak = max(peak, live)
        live -= sum(size[name] for name in last.get(i, ()))
    return peak


def _last_reads(
    nodes: Sequence[Node], root: Mapping[str, str], inputs: Sequence[str], outputs: Sequence[str]
) -> dict[int, list[str]]:
    """The memory that no later node reads, by the node after which it is free."""
    last = dict.fromkeys(inputs, 0)
    for i, node in enumerate(nodes):
        last[root[node.name]] = i
        last.update((root[name], i) for name in node.inputs)
    for name in outputs:
        last.pop(root[name], None)
    free: dict[int, list[str]] = {}
    for name, i in last.items():
        free.setdefault(i, []).append(name)
    return free


def training_memory(
    nodes: Sequence[Node], types: Mapping[str, TensorType], inputs: Sequence[str], outputs: Sequence[str]
) -> tuple[int, int]:
    """The most bytes that live at once in a step, and those kept for the backward pass at its start."""
    root = _roots(nodes, types, inputs, training=True)
    size = {name: size_bytes(types[name]) for name in root}
    learns = _learns(nodes, types)
    kept: list[tuple[set[str], int]] = []  # per node: whose memory its backward pass reads, and bytes beside
    for node in nodes:
        xs = [types[name] for name in node.inputs]
        if node.name not in learns:
            kept.append((set(), 0))
            continue
        inputs_too, output_too, more = node.op.kept(types[node.name], *xs)
        named = {root[name] for name in node.inputs} if inputs_too else set[str]()
        kept.append((named | ({root[node.name]} if output_too else set()), more))
    needed: dict[str, int] = {}  # the first node whose backward pass reads a value, which is the last to run
    for i, (named, _) in enumerate(kept):
        for name in named:
            needed.setdefault(name, i)
    saved = sum(size[name] for name in needed) + sum(more for _, more in kept)

    last = _last_reads(nodes, root, inputs, outputs)
    live = peak = sum(size[name] for name in inputs)
    for i, node in enumerate(nodes):
        live += (size[node.name] if root[node.name] == node.name else 0) + kept[i][1]
        peak = max(peak, live)
        live -= sum(size[name] for name in last.get(i, ()) if name not in needed)

    # Back: values held are those kept and the outputs; gradients come and go.
    owner = {name: _gradient_of(name, root, size) for name in learns}
    gradients: set[str] = {owner[name] for name in outputs if name in learns}
    held = {root[name] for name in outputs} | set(needed)
    live = sum(size[name] for name in held) + sum(more for _, more in kept) + sum(size[name] for name in gradients)
    peak = max(peak, live)
    for i, node in reversed(list(enumerate(nodes))):
        if node.name not in learns:
            continue
        for name in node.inputs:
            if name in learns and owner[name] not in gradients:
                gradients.add(owner[name])
                live += size[owner[name]]
        peak = max(peak, live)
        if owner[node.name] == node.name and node.name in gradients:
            gradients.discard(node.name)
            live -= size[node.name]
        live -= kept[i][1]
        freed = [name for name in kept[i][0] if needed[name] == i and name not in {root[o] for o in outputs}]
        live -= sum(size[name] for name in freed)
    return peak, saved


def _learns(nodes: Sequence[Node], types: Mapping[str, TensorType]) -> set[str]:
    """The values that depend on learned numbers."""
    found: set[str] = set()
    for node in nodes:
        learned = any(p.learned for p in node.op.params(*(types[name] for name in node.inputs)).values())
        if learned or any(name in found for name in node.inputs):
            found.add(node.name)
    return found


def _gradient_of(name: str, root: Mapping[str, str], size: Mapping[str, int]) -> str:
    # A view of the whole hands its gradient on as it is; that of a part is laid into zeros.
    return root[name] if size[root[name]] == size[name] else name
