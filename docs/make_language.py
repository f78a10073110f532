"""Makes docs/language.md: the tour, the reference of layers, sections and contracts from the code, and the grammar.

Run `python docs/make_language.py` (or `make docs`) after any of them has changed; a test holds the page to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from netc import reference
from netc.elaborate import contract
from netc.elaborate.expr import FUNCTIONS
from netc.op import Layer
from netc.sections import LOSSES, OPTIMIZERS, SCHEDULES, Expect, Export, Train
from netc.tensor import Size, Symbol, TensorType

ROOT = Path(__file__).parent.parent
PAGE, TOUR = ROOT / "docs" / "language.md", ROOT / "docs" / "language" / "tour.md"
GRAMMAR = ROOT / "netc" / "syntax" / "grammar.lark"
BATCH = Size.of(Symbol("N"))
SHOWN = 2  # examples of a layer on the page; a test writes all of them in the language


def example(cls: type[Layer], fields: Mapping[str, object], shapes: list[tuple[int, ...]]) -> str:
    """A layer's example as a chain: what enters, in a comment, the stage, and the shape that comes out."""
    types = [TensorType(BATCH, c, tuple(sides)) for c, *sides in shapes]
    entering = len(types) if cls.merges else 1
    names = ["x"] if entering == 1 else ["a", "b", "c", "d"][:entering]
    others = ["y", "z"][: len(types) - entering]
    said = ", ".join(f"{name} is f32{type_}" for name, type_ in zip([*names, *others], types, strict=True))
    made = results(cls, fields, types)
    call = reference.call(cls, fields, others)
    tail = f" -> is {made[0]}" if len(made) == 1 else f"  # {', '.join(map(str, made))}"
    return f"# {said}\nfrom {', '.join(names)} -> {call}{tail}"


def results(cls: type[Layer], fields: Mapping[str, object], types: list[TensorType]) -> list[TensorType]:
    """The types that come out of a layer's example."""
    op = cls.model_validate(fields)
    return [part.infer(*types) for part in (op.spread(types[0]) if cls.spreads else (op,))]


def _layer(cls: type[Layer]) -> list[str]:
    words, facts = reference.facts(cls)
    rows = [f"### `{cls.kind}`", "", words, "", f"    {reference.signature(cls)}", ""]
    taken = reference.takes(cls)
    if taken or cls.values:
        rows += ["| argument | takes | default | |", "|---|---|---|---|"]
        rows += [_row(name, takes, default, text) for name, takes, default, text in taken]
        rows += [_row(name, "a value's label", "", "whose sides to take") for name in cls.values]
        rows.append("")
    rows += [f"- {name}: {fact}" for name, fact in facts.items() if not fact.startswith("none of its own")]
    if cls.opset > 17:
        rows.append(f"- Opset: {cls.opset} or newer")
    if elsewhere := reference.elsewhere(cls):
        rows.append(f"- Elsewhere: {'; '.join(elsewhere)}")
    shown = [example(cls, fields, list(shapes)) for fields, shapes in cls.examples[:SHOWN]]
    return [*rows, "", "```cnn chain", *"\n\n".join(shown).splitlines(), "```", ""]


def _row(*cells: str) -> str:
    first, *rest = (cell.replace("|", "\\|") for cell in cells)
    return f"| `{first}` | {' | '.join(rest)} |"


def _table(model: type[BaseModel], prefix: str = "") -> list[str]:
    rows = [f"| {prefix or 'key'} | takes | default |", "|---|---|---|"]
    return [*rows, *(_row(name, takes, default) for name, takes, default, _ in reference.takes(model)), ""]


def _calls(title: str, choices: Mapping[str, type[BaseModel]]) -> list[str]:
    rows = [f"**{title}**", ""]
    for name, model in choices.items():
        args = ", ".join(
            n if not default else f"{n} = {default}" for n, _, default, _ in reference.takes(model) if n != "weight"
        )
        rows.append(f"- `{name}({args})`: {(model.__doc__ or '').strip()}")
    return [*rows, ""]


def _sections() -> list[str]:
    return [
        "## Sections",
        "",
        "`train`, `export` and `expect` are `key = value` pairs, inside the net or beside it with its name. A key that "
        "names a label or an output is checked against the net.",
        "",
        "### `train`",
        "",
        *_table(Train),
        "`loss` and `metric` go by output (`loss.scores`), `init` and `lr_scale` by label (`lr_scale.layer4`). A "
        "number times a loss is its weight: `0.3 * cross_entropy()`.",
        "",
        *_calls("Losses", LOSSES),
        *_calls("Optimizers", OPTIMIZERS),
        *_calls("Schedules", SCHEDULES),
        "### `export`",
        "",
        *_table(Export),
        "### `expect`",
        "",
        *_table(Expect),
        "`params.train` is written with its dot; `at.H = 512` says at which size `macs` is taken.",
        "",
        "## Contracts",
        "",
        "What an input's braces may say:",
        "",
        *_table(contract.InputContract),
        "What an output's braces may say:",
        "",
        *_table(contract.OutputContract),
        f'Labels are a list, a built-in set ({_label_sets()}) or `file("labels.txt")`.',
        "",
    ]


def _label_sets() -> str:
    names = sorted({path.stem for path in contract.LABELS.glob("*.txt")} | set(contract.SAME))
    return ", ".join(f'`"{name}"`' for name in names)


def page() -> str:
    """The text of docs/language.md."""
    rows = [TOUR.read_text(encoding="utf-8"), "## Layers", ""]
    rows += [
        "A layer takes at most one argument without a name, the first of its signature; a block's go by position or by "
        "name. Layers with weights take `init`: `kaiming`, `xavier`, `orthogonal`, `bilinear`, `zeros`, `ones`, "
        "`normal(0.02)`, `trunc_normal(0.02)`, `uniform(0.1)` or a number, as far as the layer's weights admit it. In "
        "the examples a comment says what enters, and `is` what comes out.",
        "",
    ]
    for group, members in reference.grouped().items():
        rows += [f"**{group}**: {', '.join(f'[{kind}](#{kind})' for kind in members)}", ""]
    for members in reference.grouped().values():
        for kind in members:
            rows += _layer(reference.layer(kind))
    rows += _sections()
    rows += ["## Functions", "", ", ".join(f"`{name}`" for name in FUNCTIONS) + ", on numbers and lists.", ""]
    rows += [
        "## Grammar",
        "",
        "LALR(1), without conflicts.",
        "",
        "```lark",
        GRAMMAR.read_text(encoding="utf-8").rstrip(),
        "```",
        "",
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
