"""The files of one check: what each defines and what it may read. A spec reads its folder's tree and nothing else."""

from __future__ import annotations

import errno
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from netc.diagnostic import Diagnostic, Diagnostics, Source, Span, cut
from netc.elaborate.budget import Budget
from netc.elaborate.values import Value
from netc.ops import find, ours
from netc.syntax import tree as t
from netc.syntax.parse import LARGEST_FILE, decode, parse
from netc.syntax.tree import WORDS

STD = Path(__file__).parent.parent / "std"


class Rule(NamedTuple):
    """`default conv(bias=false)`, linked to the rules that hold outside of it."""

    call: t.Call
    file: Unit
    env: Env
    outer: Rule | None


@dataclass(slots=True, eq=False)
class Env:
    """Names of a lexical layer: parameters, lets, loop variables. `rules` are the defaults that hold here."""

    names: dict[str, Value]
    outer: Env | None = None
    rules: Rule | None = None
    depth: int = 0
    """How many layers lie outside of this one: what looking a name up costs."""

    def __post_init__(self) -> None:
        self.depth = self.outer.depth + 1 if self.outer is not None else 0

    def get(self, name: str) -> Value | None:
        env: Env | None = self
        while env is not None:
            if name in env.names:
                return env.names[name]
            env = env.outer
        return None

    def known(self) -> set[str]:
        found: set[str] = set()
        env: Env | None = self
        while env is not None:
            found |= set(env.names)
            env = env.outer
        return found

    def inside(self) -> Env:
        """A layer inside this one."""
        return Env({}, self, self.rules)


class BlockDef(NamedTuple):
    """A block of a file, with the names that its text can see."""

    name: str
    tree: t.Block
    unit: Unit
    env: Env

    @property
    def hurt(self) -> bool:
        """Whether part of it did not parse."""
        return self.unit.file.hurt(self.tree)


class NetDef(NamedTuple):
    """A net of a file. `variant` is set where the net is another one with arguments."""

    name: str
    tree: t.Net | t.Variant
    unit: Unit
    env: Env


@dataclass(slots=True, eq=False)
class Unit:
    """One file: its tree and what its names mean."""

    file: t.File
    path: Path | None
    env: Env
    budget: Budget
    blocks: dict[str, BlockDef] = field(default_factory=dict[str, BlockDef])
    nets: dict[str, NetDef] = field(default_factory=dict[str, NetDef])
    sections: list[t.Section] = field(default_factory=list[t.Section])
    doubtful: set[str] = field(default_factory=set[str])
    """Names that are defined twice: who knows which is meant."""
    unsure: bool = False  # an import failed or a definition did not parse: an unknown name may be one of those

    def vague(self, body: t.At | None) -> bool:
        """Whether a `default` of the file or of this body did not parse: layers lack arguments that the author gave."""
        text = self.file.source.text
        lost = [d for d in self.file.damaged if text.startswith("default", d.start)]
        return bool(lost) and any(_loose(d, self.file) or (body and body.start <= d.start < body.end) for d in lost)

    def span(self, at: t.At) -> Span:
        return self.file.span(at)


def _loose(damage: t.At, file: t.File) -> bool:
    """Whether what did not parse stood in no block or net, and may have defined anything."""
    return not any(s.start <= damage.start and damage.end <= s.end for s in file.statements)


class Files:
    """Loads files, each once, and follows `use`."""

    def __init__(
        self,
        found: Diagnostics,
        budget: Budget,
        root: Path | None,
        search: tuple[Path, ...] = (),
        texts: Mapping[Path, str] | None = None,
    ) -> None:
        self.found, self.budget = found, budget
        self.unsaved = texts or {}
        """Texts that stand for what files hold, by resolved path."""
        self.sources: dict[Path, Source | None] = {}
        """Every file that was read, and None for those that were looked for in vain."""
        self.root = root.resolve() if root is not None else None
        self.search = tuple(p.resolve() for p in search)
        self.units: dict[Path, Unit] = {}
        self.texts: dict[str, str] = {}

    def shown(self, path: Path) -> str:
        """A path as messages name it: relative to the root's parent where it can be."""
        if path.is_relative_to(STD):
            return f"std/{path.relative_to(STD).as_posix()}"
        if self.root is not None and path.is_relative_to(self.root):
            return path.relative_to(self.root).as_posix()
        return path.name

    def open(self, source: Source, path: Path | None, ring: tuple[Path, ...] = ()) -> Unit:
        """The unit of a text; every finding goes to the diagnostics."""
        limits = self.budget.limits
        file = parse(source, limits.bytes, limits.depth)
        self.texts[source.name] = source.text
        self.found.extend(file.diagnostics)
        unit = Unit(file, path, Env({}), self.budget, unsure=any(_loose(d, file) for d in file.damaged))
        if path is not None:
            self.units[path] = unit
            self.sources[path] = source
        self._define(unit, ring)
        return unit

    def _define(self, unit: Unit, ring: tuple[Path, ...]) -> None:
        # Blocks and nets are visible in the whole file; lets and defaults from their line on.
        from netc.elaborate.expr import bind_let

        taken: dict[str, t.Name] = {}
        env = unit.env
        for statement in unit.file.statements:
            if isinstance(statement, t.Use):
                for name in self._use(unit, statement, ring):
                    self._claim(unit, name, taken)
            elif isinstance(statement, t.Let):
                env = Env({}, env, env.rules)
                bind_let(statement, env, unit, self.found)
            elif isinstance(statement, t.Default):
                env = Env({}, env, Rule(statement.call, unit, env, env.rules))
                check_default(statement, unit, self.found)
            elif isinstance(statement, t.Block):
                self._heading(unit, statement)
                if self._claim(unit, statement.name, taken):
                    unit.blocks[statement.name.text] = BlockDef(statement.name.text, statement, unit, env)
                else:
                    unit.unsure = True
            elif isinstance(statement, t.Net | t.Variant):
                if self._claim(unit, statement.name, taken):
                    unit.nets[statement.name.text] = NetDef(statement.name.text, statement, unit, env)
            else:
                unit.sections.append(statement)
        unit.env = env

    def _heading(self, unit: Unit, block: t.Block) -> None:
        """A block's parameters and values have names of their own."""
        seen: set[str] = set()
        for name in (*(p.name for p in block.params), *block.takes):
            span = unit.span(name)
            if name.text in seen:
                message = f"`{name.text}` stands twice in the heading of `{block.name.text}`"
                self.found.add(Diagnostic("N112", message, span, help="rename one of them"))
            elif allowed(name.text, span, self.found):
                seen.add(name.text)

    def _claim(self, unit: Unit, name: t.Name, taken: dict[str, t.Name]) -> bool:
        span = unit.span(name)
        if not allowed(name.text, span, self.found):
            return False
        if ours(name.text) or name.text in ("skip", "inception"):
            self.found.add(
                Diagnostic(
                    "N113",
                    f"`{name.text}` is a layer's name",
                    span,
                    help=f"choose another name, such as {name.text}_block",
                )
            )
            return False
        if name.text in taken:
            unit.doubtful.add(name.text)
            line = unit.file.source.position(taken[name.text].start)[0]
            self.found.add(
                Diagnostic(
                    "N112", f"`{name.text}` is defined twice, first on line {line}", span, help="rename one of them"
                )
            )
            return False
        taken[name.text] = name
        return True

    def _use(self, unit: Unit, use: t.Use, ring: tuple[Path, ...]) -> list[t.Name]:
        span = unit.span(use.path)
        target = self.resolve(unit, use.path.value, span)
        if target is None:
            unit.unsure = True
            return []
        here = unit.path or Path(unit.file.source.name)
        if target in (*ring, here):
            names = [self.shown(p) for p in (*ring, here)]
            start = names.index(self.shown(target))
            self.found.add(
                Diagnostic(
                    "N152",
                    f"files use each other in a ring: {' -> '.join([*names[start:], self.shown(target)])}",
                    span,
                    help="move what both need into a third file",
                )
            )
            unit.unsure = True
            return []
        if len(ring) >= self.budget.limits.imports:
            self.found.add(
                Diagnostic(
                    "N154",
                    f"files use each other deeper than {self.budget.limits.imports}",
                    span,
                    help="use the file that holds the block directly, or raise the limit with --max-imports",
                )
            )
            unit.unsure = True
            return []
        other = self.units.get(target)
        if other is None:
            source = self.read(target)
            if isinstance(source, Diagnostic):
                self.found.add(source)
                unit.unsure = True
                return []
            other = self.open(source, target, (*ring, here))
        for name in use.names:
            if name.text in other.blocks:
                unit.blocks[name.text] = other.blocks[name.text]
            elif name.text in other.nets:
                unit.nets.setdefault(name.text, other.nets[name.text])
            elif other.unsure:
                unit.unsure = True
            else:
                from netc.elaborate.names import nearest

                known = [*other.blocks, *other.nets]
                help_ = nearest(name.text, known) or f"it defines {', '.join(known[:8]) or 'nothing'}"
                from netc.elaborate.edits import renamed

                message, span = f"`{use.path.value}` defines no `{name.text}`", unit.span(name)
                self.found.add(Diagnostic("N153", message, span, help=help_, edit=renamed(span, name.text, known)))
                unit.unsure = True
        return list(use.names)

    def read(self, path: Path) -> Source | Diagnostic:
        """The text of a file that a spec names, or the diagnostic that says why not."""
        source = read(path, self.shown(path), self.budget.limits.bytes, self.unsaved.get(path))
        self.sources[path] = source if isinstance(source, Source) else None
        return source

    def resolve(self, unit: Unit, text: str, span: Span, suffix: str = ".cnn") -> Path | None:
        """The file a spec names, None with a diagnostic where it may not or cannot be read."""
        library = STD.resolve()
        if text.startswith("std/"):
            candidates, roots = [library / text[4:]], [library]
        else:
            folder = unit.path.parent if unit.path is not None else self.root
            if folder is None:
                message = f'a text without a file cannot read "{text}"'
                self.found.add(Diagnostic("N150", message, span, help="save it and check the file"))
                return None
            candidates = [folder / text, *(place / text for place in self.search)]
            roots = [r for r in (self.root, library, *self.search) if r is not None]
        try:
            path = next((c.resolve() for c in candidates if c.is_file()), candidates[0].resolve())
        except (OSError, RuntimeError, ValueError):
            # Too long a name, links in a ring, a NUL character, half a surrogate pair.
            self.found.add(Diagnostic("N150", f'"{cut(text, 80)}" cannot be read', span))
            return None
        inside = any(path.is_relative_to(r) for r in roots)
        if not inside:
            self.found.add(
                Diagnostic(
                    "N151",
                    f'"{text}" lies outside of the spec\'s folder: a spec reads its own folder only',
                    span,
                    help="copy the file beside the spec, or name its folder with --search",
                )
            )
            return None
        if not path.is_file() or not path.name.endswith(suffix):
            self.sources.setdefault(path)
            what = "is not a .cnn file" if path.is_file() else "is not there"
            near = sorted(p.name for p in path.parent.glob(f"*{suffix}"))[:8] if path.parent.is_dir() else []
            self.found.add(
                Diagnostic("N150", f'"{text}" {what}', span, help=f"beside it: {', '.join(near)}" if near else "")
            )
            return None
        return path


def read(path: Path, shown: str, largest: int = LARGEST_FILE, unsaved: str | None = None) -> Source | Diagnostic:
    """A file's text, or the diagnostic that says why not. `unsaved` stands for what the file holds."""
    if unsaved is not None:
        return decode(shown, unsaved.encode("utf-8", "surrogateescape"), largest)
    try:
        # Opening a pipe would wait for its writer: look before opening.
        if stat.S_ISDIR(mode := path.stat().st_mode):
            raise OSError(errno.EISDIR, "is a directory")
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "is no regular file")
        with path.open("rb") as file:
            data = file.read(largest + 1)
    except (OSError, ValueError) as error:
        reason = ((error.strerror if isinstance(error, OSError) else "") or str(error)).lower()
        return Diagnostic(
            "N100",
            f"{shown} cannot be read: {reason}",
            Span(Source(shown, ""), 0, 0),
            help="name a .cnn file or a folder that holds some",
        )
    return decode(shown, data, largest)


def check_default(statement: t.Default, unit: Unit, found: Diagnostics) -> None:
    """A default is for a layer that exists, and for arguments that it takes."""
    name = statement.call.name
    cls = find(name.text)
    if cls is None:
        from netc.elaborate.edits import renamed
        from netc.elaborate.names import nearest
        from netc.ops import kinds

        said = "a block" if name.text in unit.blocks else "no layer"
        message = f"`default` is for layers; `{name.text}` is {said}"
        edit = renamed(unit.span(name), name.text, kinds()) if name.text not in unit.blocks else None
        found.add(Diagnostic("N110", message, unit.span(name), help=nearest(name.text, kinds()), edit=edit))
        return
    for arg in statement.call.args:
        if arg.name is not None and arg.name.text not in (*cls.model_fields, *cls.values):
            from netc.elaborate.layers import Finding, argument_meant, unknown

            name, where = arg.name.text, unit.span(arg.name)
            help_ = unknown(cls, name, [], 1)
            said = Finding("N120", name, f"`{cls.kind}` takes no `{name}`", help_, argument_meant(cls, name))
            found.add(Diagnostic(said.code, said.message, where, help=said.help, edit=said.edit(where)))


def allowed(name: str, span: Span, found: Diagnostics) -> bool:
    """Whether a name is not one of the language's words."""
    if name in WORDS:
        found.add(
            Diagnostic(
                "N113",
                f"`{name}` is a word of the language and names nothing",
                span,
                help=f'as a path component it is quoted: "{name}": ...',
            )
        )
        return False
    return True
