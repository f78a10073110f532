"""Specs of random blocks: parameters, `if`s, repeats, blocks in blocks, skips, names and numbers, applied at random."""

from __future__ import annotations

from itertools import count

from hypothesis import strategies as st

PARAMETERS = "c, k = 3, t = 1, flag = true, act = relu, n = 2, rate = 0.1"
CHANNELS = ("c", "2 * c", "in.c", "t * in.c", "c + 1")
WEIGHTLESS = ("act", "relu", "maxpool(k=3, stride=1, pad=1)", "dropout(rate)", "drop_path(rate)")
CHOICES = {
    "k": ("1", "3", "5"),
    "t": ("1", "2"),
    "flag": ("true", "false"),
    "act": ("relu", "tanh", "silu", "hardswish"),
    "n": ("1", "2", "3", "4"),
    "rate": ("0.1", "0.2"),
}


@st.composite
def specs(draw: st.DrawFn) -> str:
    """A text with one net, `Random`, of one image and one output; a few are refused."""
    blocks = draw(st.integers(1, 3))
    written = [_Block(draw, number).text() for number in range(blocks)]
    style = draw(st.sampled_from(["s{}", '"features.{}"', '"in{}.b"']))
    chain: list[str] = []
    for turn in range(draw(st.integers(1, 5))):
        repeat = draw(st.sampled_from(["", "", " * 2", " * 4"])) if style == "s{}" else ""
        chain.append(f"{style.replace('{}', str(turn))}: b{draw(st.integers(0, blocks - 1))}({_given(draw)}){repeat}")
    chain += draw(st.sampled_from([["gap", "flatten", "fc(3)"], ["last: conv(3, k=1)", "gmp", "flatten"]]))
    body = f"  from x -> {' -> '.join(chain)} => y"
    return "\n".join([*written, "net Random {", "  input x: f32[N, 4, 8, 8]", "  output y: f32[N, 3]", body, "}", ""])


def _given(draw: st.DrawFn) -> str:
    # What a block is applied with: each parameter, or its default.
    words = [str(draw(st.sampled_from([4, 6, 8])))]
    words += [f"{name}={draw(st.sampled_from(values))}" for name, values in CHOICES.items() if draw(st.booleans())]
    return ", ".join(words)


class _Block:
    """A block of a few parts, one after the other; it may apply those with lower numbers."""

    def __init__(self, draw: st.DrawFn, number: int) -> None:
        self.draw, self.number = draw, number
        self.numbered = draw(st.booleans())
        self.labels = count()

    def text(self) -> str:
        parts = [self._part(0) for _ in range(self.draw(st.integers(1, 5)))]
        return f"block b{self.number}({PARAMETERS}) {{ {' -> '.join(parts)} }}"

    def _named(self, said: str) -> str:
        # Two layers with weights in one body have labels.
        number = next(self.labels)
        return f"{number}: {said}" if self.numbered else f"w{number}: {said}"

    def _part(self, depth: int) -> str:
        kinds = ["layer", "layer", "weightless", *(["if", "skip", "concat", "branch"] if depth < 2 else [])]
        kind = self.draw(st.sampled_from([*kinds, *(["block", "blocks"] if self.number else ["run"])]))
        c = self.draw(st.sampled_from(CHANNELS))
        if kind == "layer":
            return self._named(
                self.draw(
                    st.sampled_from(
                        [
                            f"conv({c}, k=k, pad=half)",
                            f"conv({c}, k=1, bias=flag)",
                            "depthwise(k=k, pad=half)",
                            "bn",
                            "ln",
                        ]
                    )
                )
            )
        if kind == "weightless":
            return self.draw(st.sampled_from(WEIGHTLESS))
        if kind == "run":
            return self._named("conv(c, k=1) * n")
        if kind in ("block", "blocks"):
            given = self.draw(st.sampled_from([f"{c}, k, t, flag, act", "c, act=act", "c, rate=rate", "c, n=n"]))
            applied = f"b{self.draw(st.integers(0, self.number - 1))}({given})"
            return self._named(f"{applied} * n" if kind == "blocks" else applied)
        inner = self._part(depth + 1)
        if kind == "if":
            return f"if {self.draw(st.sampled_from(['flag', 't != 1', 'in.c == c']))} {{ {inner} }}"
        if kind == "skip":
            return f"skip {{ | {inner} -> {self._named('conv(in.c, k=1)')} }}"
        if kind == "branch":
            short = self._named("conv(c, k=1)")
            return f"skip {{ | {self._named('conv(c, k=3, pad=1)')} | if in.c != c {{ {short} }} }} -> act"
        return f"concat {{ | id | {inner} -> {self._part(depth + 1)} }}"
