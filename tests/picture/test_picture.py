"""Pictures without a browser: what is drawn is what the graph has, and a stranger's words stay words."""

from __future__ import annotations

import hashlib
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from netc import api, cli
from netc.diagnostic import Fault, Source
from netc.graph import Graph
from netc.picture import page, svg, words
from netc.picture.outline import MOST_LAYERS, outline
from netc.picture.page import GRAPHVIZ
from netc.picture.scene import affordable, opened, scene
from tests.conftest import ROOT
from tests.processes import run, without

SVG = "{http://www.w3.org/2000/svg}"
SPECS = [
    "lenet5.cnn",
    "googlenet.cnn",
    "resnet.cnn:ResNet34",
    "densenet.cnn:DenseNet121",
    "mobilenet_v2.cnn",
    "unet.cnn:UNet",
    "vgg.cnn:VGG16",
]


def of(text: str) -> Graph:
    checked = api.check_text(Source("t.cnn", text))
    assert checked.ok, checked.diagnostics
    (graph,) = checked.graphs.values()
    return graph


def zoo(name: str) -> Graph:
    return api.load(ROOT / "specs" / name)


def groups(drawn: str, kind: str) -> list[ET.Element]:
    return [g for g in ET.fromstring(drawn).iter(f"{SVG}g") if kind in (g.get("class") or "").split()]


def data(drawn: str) -> Any:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', drawn, re.DOTALL)
    return json.loads(text)


def test_macs_depend_on_sides_alone_and_only_where_a_layer_multiplies() -> None:
    spec = "net M {{ input image: f32[N, 3, H, W] output y: f32[N, 2] from image -> relu -> {} -> fc(2) => y }}"
    # After `gap` 8 3 and 2 8 products, whatever H and W.
    pooled = outline(of(spec.format("gap -> conv(8, k=1) -> flatten")))
    assert (pooled.macs, [item.macs for item in pooled.items if item.kind == "layer"]) == (40, [0, 0, 24, 0, 16])
    told = data(page(of(spec.format("conv(8, k=1) -> gap -> flatten"))))
    assert (told["total"]["macs"], told["symbols"]) == (None, ["H", "W"])
    assert [item["macs"] for item in told["items"] if item["kind"] == "layer"] == [0, None, 0, 0, 16]


def test_a_formula_in_a_shape_stands_in_brackets() -> None:
    spec = "net M { input image: f32[N, 3, H, W] output y: f32[N, 8, A, W] from image -> conv(8, k=[3, 1]) => y }"
    assert [edge.shape for edge in outline(of(spec)).edges] == ["3×H×W", "8×(H-2)×W"]


@pytest.fixture(scope="module")
def resnet152() -> Graph:
    return zoo("resnet.cnn:ResNet152")


@pytest.mark.parametrize("spec", SPECS)
def test_with_all_blocks_open_every_layer_is_drawn_once(spec: str) -> None:
    graph = zoo(spec)
    drawn = svg(graph, None)
    named = sorted(g.attrib["data-name"] for g in groups(drawn, "layer"))
    assert named == sorted(node.name for node in graph.nodes)
    assert [g.attrib["data-name"] for g in groups(drawn, "input")] == [i.name for i in graph.inputs]
    assert [g.attrib["data-name"] for g in groups(drawn, "output")] == [f"=> {o.name}" for o in graph.outputs]


@pytest.mark.parametrize("spec", SPECS)
def test_with_all_blocks_open_the_arrows_are_the_graphs_with_its_shapes(spec: str) -> None:
    graph = zoo(spec)
    drawn = svg(graph, None)
    told: set[tuple[str, str, str]] = set()
    for arrow in groups(drawn, "arrow"):
        (shape,) = (text.text or "" for text in arrow.iter(f"{SVG}text"))
        told.add((arrow.attrib["data-from"], arrow.attrib["data-to"], shape))
    within = [(g.attrib["data-on"], g.attrib["data-name"]) for g in groups(drawn, "layer") if "data-on" in g.attrib]
    # Rows of one box touch: there is no arrow to bear a shape, because it stays what it was.
    told |= {(a, b, graph.types[b].shape.replace("x", "×")) for a, b in within}
    expected = {(x, node.name, graph.types[x]) for node in graph.nodes for x in node.inputs}
    expected |= {(o.value, f"=> {o.name}", o.type) for o in graph.outputs}
    assert told == {(a, b, x.shape.replace("x", "×")) for a, b, x in expected}


def test_a_box_holds_a_layer_and_what_follows_it_without_a_change_of_shape() -> None:
    graph = of(
        "net T { input x: f32[N, 3, 8, 8]\noutput y: f32[N, 4, 4, 4]\n"
        "from x -> a: conv(4, k=3, pad=1) -> b: bn -> relu -> maxpool(k=2) -> m: bn -> relu -> add { | id | id } => y }"
    )
    on = {g.attrib["data-name"]: g.get("data-on") for g in groups(svg(graph), "layer")}
    # The last relu goes two ways, so what follows it stands alone.
    assert on == {"a": None, "b": "a", "relu": "b", "maxpool": None, "m": "maxpool", "relu_2": "m"} | {
        n.name: None for n in graph.nodes if n.op.kind in {"id", "add"}
    }


def test_closed_blocks_are_the_nets_own_level() -> None:
    # Nine inception blocks and two heads; the units around one convolution need no box of their own.
    drawn = svg(zoo("googlenet.cnn"), 1)
    blocks = [g.attrib["data-name"] for g in groups(drawn, "block")]
    assert blocks == ["i3a", "i3b", "i4a", "i4b", "i4c", "i4d", "i4e", "i5a", "i5b", "aux1", "aux2"]
    assert len(groups(svg(zoo("googlenet.cnn"), 2), "frame")) == 11


def test_turns_of_a_repeat_are_one_block_with_their_number(resnet152: Graph) -> None:
    made = outline(resnet152)
    depths = made.depths()
    stages = [(i.name, i.plain) for i, d in zip(made.items, depths, strict=True) if i.kind == "block" and d == 0]
    # He et al., table 1: 3, 8, 36 and 3 bottlenecks.
    turns = zip([3, 8, 36, 3], range(1, 5), strict=True)
    assert stages == [(f"layer{i}", f"{n} × bottleneck") for n, i in turns]


def test_a_blocks_figures_are_the_sums_of_its_layers() -> None:
    made = outline(zoo("resnet.cnn:ResNet34"))
    (layer1,) = (item for item in made.items if item.name == "layer1" and item.kind == "block")
    # Six 3x3 convolutions from 64 to 64 channels at 56x56, and six batch norms of 64 scales and 64 shifts.
    assert layer1.params == 6 * (64 * 64 * 9 + 2 * 64)
    assert layer1.macs == 6 * 64 * 64 * 9 * 56 * 56
    assert layer1.layers == 3 * 7
    own = [item for item in made.items if item.parent == -1]
    assert sum(item.params for item in own) == 21_797_672  # as torchvision's
    assert sum(item.macs or 0 for item in own) == 3_663_761_408


def test_shared_weights_are_counted_once() -> None:
    graph = of("net T { input x: f32[N, 4]\noutput y: f32[N, 4]\nfrom x -> a: fc(4) -> relu -> b: @a => y }")
    made = outline(graph)
    assert [(i.name, i.params, i.shared) for i in made.items if i.bold == "fc"] == [("a", 20, ""), ("b", 0, "a")]


def test_what_only_training_needs_is_dashed() -> None:
    drawn = svg(zoo("googlenet.cnn"), 1)
    dashed = {g.attrib["data-name"] for g in groups(drawn, "training")}
    assert dashed == {"aux1", "aux2", "=> aux_scores", "=> mid_scores"}
    for g in groups(drawn, "training"):
        assert any(shape.get("stroke-dasharray") for shape in g)


def test_arguments_are_written_as_papers_do() -> None:
    graph = of(
        "net T { input x: f32[N, 4, 9, 9]\noutput y: f32[N, 5]\n"
        "from x -> conv(8, k=[1, 7], stride=2, pad=[0, 3], dilation=1, groups=2, bias=false)"
        " -> maxpool(k=2) -> avgpool(k=2, stride=1) -> dropout(0.4) -> flatten -> fc(5) => y }"
    )
    said = {n.op.kind: words.short(n.op, graph.operands(n)[0].rank) for n in graph.nodes}
    # A pooling without a stride steps by its window: the picture says so.
    pools = {"maxpool": "2×2, /2", "avgpool": "2×2"}
    assert said == {"conv": "1×7, 8, /2, groups 2", **pools, "dropout": "0.4", "flatten": "", "fc": "5"}
    assert words.call(graph.nodes[0].op) == "conv(8, k=[1, 7], stride=2, pad=[0, 3], groups=2, bias=false)"


def test_every_layer_kind_has_a_colour() -> None:
    assert {words.family(kind) for kind in ("conv", "fc", "bn", "relu", "maxpool", "add", "reshape")} == {
        *("conv", "dense", "norm", "act", "pool", "merge", "shape")
    }
    assert not words.rides("reshape")
    assert words.rides("bn")


# --- a stranger's words


NASTY = "</script><script>alert(1)</script><!--&amp;]]>\u2028\u202e\u0007'\"\\"


def nasty(name: str = f"{NASTY}.cnn") -> Graph:
    text = (
        f"# {NASTY.replace(chr(7), '')}\n"
        "block u(c) { conv(c, k=1) -> relu -> maxpool(k=1) }\n"
        'net T { input x: f32[N, 3, 4, 4] output y: f32[N, 3, 4, 4] { labels = ["<b>", "]]>", "&"] }\n'
        'from x -> "a<b>&.c": u(3) => y }\n'
    )
    checked = api.check_text(Source(name, text))
    plain = checked.graphs or api.check_text(Source(name, text.replace('"a<b>&.c"', "a"))).graphs
    return next(iter(plain.values()))


def test_a_page_stays_whole_whatever_a_spec_says() -> None:
    drawn = page(nasty())
    # Two scripts of ours and no other; what looks like markup in the data is escaped.
    assert len(re.findall(r"<script", drawn)) == len(re.findall(r"</script", drawn)) == 2
    body = drawn[drawn.index('id="data">') + 10 : drawn.index("</script>")]
    assert not re.search("[<>&\u2028\u2029\u202e]", body)
    (file,) = data(drawn)["files"]
    assert file["lines"][0].startswith("# </script><script>alert(1)</script><!--&amp;]]>")
    assert "\u202e" not in file["lines"][0]


def test_an_svg_stays_whole_whatever_a_spec_says() -> None:
    drawn = svg(nasty())
    tree = ET.fromstring(drawn)
    assert {e.tag.removeprefix(SVG) for e in tree.iter()} <= {
        "svg",
        "title",
        "style",
        "rect",
        "g",
        "path",
        "text",
        "tspan",
    }
    titles = [t.text or "" for t in tree.iter(f"{SVG}title")]
    assert any("</script><script>alert(1)</script>" in t for t in titles)  # the file's name, as words
    assert not re.search("[\u202e\u0007]", drawn)


def test_a_pages_policy_names_its_scripts_and_forbids_the_network() -> None:
    drawn = page(zoo("lenet5.cnn"))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', drawn)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["connect-src"] == rules["img-src"] == "'none'"
    assert "unsafe-inline" not in policy
    assert "'unsafe-eval'" not in policy
    assert not re.search(r'(?:src|href)="', drawn.partition("<script")[0])


# --- limits


def test_a_net_beyond_the_limit_is_refused_by_its_number_of_layers() -> None:
    n = 100_000
    assert n > MOST_LAYERS
    graph = of(f"net T {{ input x: f32[N, 4] output y: f32[N, 4] from x -> relu * {n} => y }}")
    for draw in (svg, page):
        with pytest.raises(Fault, match="100,000 layers") as caught:
            draw(graph)
        assert caught.value.code == "N450"


def test_a_view_beyond_the_limit_is_refused_with_a_depth_that_fits() -> None:
    graph = zoo("cifar_resnet.cnn:ResNet1202")
    with pytest.raises(Fault) as caught:
        svg(graph, None)
    assert caught.value.code == "N451"
    assert caught.value.help == "pass --depth 2"
    assert len(groups(svg(graph, 2), "block")) == 600


def test_arrows_past_many_boxes_are_refused_in_time() -> None:
    # Each layer reads all before it, 60 times over: Graphviz would take minutes.
    chains = ["from x -> v0: conv(1, k=1)", "from v0 -> v1: conv(1, k=1)"]
    chains += [f"from {', '.join(f'v{j}' for j in range(i))} -> concat -> v{i}: conv(1, k=1)" for i in range(2, 60)]
    text = "\n".join([*chains, "from v59 => y"])
    graph = of(f"net T {{ input x: f32[N, 1, 2, 2]\noutput y: f32[N, 1, 2, 2]\n{text}\n}}")
    with pytest.raises(Fault, match="arrows over") as caught:
        svg(graph)
    assert caught.value.code == "N451"


def test_every_net_of_the_zoo_fits_at_its_first_depth() -> None:
    for file in sorted((ROOT / "specs").glob("*.cnn")):
        for graph in api.check(file).graphs.values():
            made = outline(graph)
            assert affordable(scene(made, opened(made, 1))), graph.name


def test_the_page_of_resnet_152_is_under_2_mb(resnet152: Graph) -> None:
    assert len(page(resnet152).encode()) < 2_000_000
    assert len(page(resnet152, None).encode()) < 2_000_000


# --- the same bytes, the right place


@pytest.mark.parametrize("ending", ["svg", "html"])
def test_equal_specs_give_equal_bytes(tmp_path: Path, ending: str) -> None:
    drawn: list[bytes] = []
    for seed in ("1", "2"):
        out = tmp_path / f"{seed}.{ending}"
        command = without([], ["graph", str(ROOT / "specs" / "googlenet.cnn"), "-o", str(out), "--depth", "all"])
        done = run(*command, PYTHONHASHSEED=seed)
        assert done.returncode == 0, done.stderr
        drawn.append(out.read_bytes())
    assert drawn[0] == drawn[1]


def test_graphviz_is_the_file_that_its_name_says() -> None:
    # npm's @hpcc-js/wasm-graphviz 1.29.2, dist/index.js.
    digest = hashlib.sha256((ROOT / "netc" / "picture" / "graphviz.js").read_bytes()).hexdigest()
    assert digest == "550d9cd6ff429f5bd225316fe1faed4f852038c3e1ec609ce113af1f9379ce25"
    assert GRAPHVIZ in (ROOT / "NOTICE").read_text(encoding="utf-8").replace("\n   ", " ")


def test_the_command_writes_what_the_name_ends_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = str(ROOT / "specs" / "lenet5.cnn")
    assert cli.main(["graph", spec, "-o", str(tmp_path / "a.svg")]) == 0
    assert cli.main(["graph", spec, "-o", str(tmp_path / "a.HTML")]) == 0
    assert (tmp_path / "a.svg").read_text(encoding="utf-8") == svg(api.load(spec))
    assert (tmp_path / "a.HTML").read_text(encoding="utf-8") == page(api.load(spec))
    capsys.readouterr()
    assert cli.main(["graph", spec, "-o", "-"]) == 0
    assert capsys.readouterr().out == svg(api.load(spec))
    assert cli.main(["graph", spec, "-o", "-", "--format", "html"]) == 0
    assert capsys.readouterr().out == page(api.load(spec))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "net.png"], "net.png: a picture is an .svg or an .html, not .png"),
        (["-o", "net"], "net: a picture is an .svg or an .html, and the name has no ending"),
        (["-o", "net.svg", "--format", "html"], "--format html and the name net.svg exclude each other"),
        (["--depth", "0"], "--depth is a number from 1, or all, not 0"),
        (["--depth", "deep"], "--depth is a number from 1, or all, not deep"),
    ],
)
def test_a_wrong_call_is_refused_by_name(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["graph", str(ROOT / "specs" / "lenet5.cnn"), *arguments]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_without_pygraphviz_the_svg_is_refused_and_the_page_is_not(tmp_path: Path) -> None:
    spec = str(ROOT / "specs" / "lenet5.cnn")
    done = run(*without(["pygraphviz"], ["graph", spec, "-o", str(tmp_path / "a.svg")]))
    assert done.returncode == 3
    assert "error[N452]" in done.stderr
    assert "pip install 'netc[picture]'" in done.stderr
    assert run(*without(["pygraphviz", "torch"], ["graph", spec, "-o", str(tmp_path / "a.html")])).returncode == 0
    assert [p.name for p in tmp_path.iterdir()] == ["a.html"]
