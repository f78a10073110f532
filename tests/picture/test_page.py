"""The page of `netc graph` in Debian's Chromium: it opens without network, and does what it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Locator, Page, Request, expect

from netc import api
from netc.picture import page as write
from netc.picture.outline import outline
from netc.picture.scene import dot, opened, scene
from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("chromium")]


class Opened:
    """A page that is open: what it asked for and what it complained of."""

    def __init__(self, page: Page, file: Path) -> None:
        self.page, self.file = page, file
        self.asked: list[str] = []
        self.errors: list[str] = []
        page.on("request", self._request)
        page.on("console", self._console)
        page.on("pageerror", self._error)
        page.goto(file.as_uri())
        page.locator("#paper svg").wait_for()

    def _request(self, request: Request) -> None:
        self.asked.append(request.url)

    def _console(self, message: ConsoleMessage) -> None:
        self.errors.append(message.text)

    def _error(self, error: Error) -> None:
        self.errors.append(str(error))

    def box(self, name: str) -> Locator:
        """The box of this name, or the frame where it is open."""
        return self.page.locator(f'.item[aria-label^="{name}:"]')

    def line(self) -> str:
        return self.page.locator("#spec .here").inner_text()

    def about(self) -> str:
        return self.page.locator("#about").inner_text()


class Opener:
    """Writes pages and opens them; afterwards none may have asked for anything or complained."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self.browser, self.folder = browser, folder
        self.all: list[Opened] = []

    def __call__(self, spec: str, depth: int | None = 1, *, dark: bool = False, text: str | None = None) -> Opened:
        file = self.folder / f"{len(self.all)}.html"
        file.write_text(text or write(api.load(ROOT / "specs" / spec), depth), encoding="utf-8")
        context = self.browser.new_context(
            color_scheme="dark" if dark else "light",
            offline=True,
            reduced_motion="reduce",
            viewport={"width": 1300, "height": 900},
        )
        context.set_default_timeout(30_000)
        self.all.append(Opened(context.new_page(), file))
        return self.all[-1]


@pytest.fixture
def show(chromium: Browser, tmp_path: Path) -> Iterator[Opener]:
    opener = Opener(chromium, tmp_path)
    yield opener
    for each in opener.all:
        asked, errors = each.asked, each.errors
        each.page.context.close()
        assert asked == [each.file.as_uri()]
        assert errors == []


def test_the_page_opens_without_network_and_draws_the_net(show: Opener) -> None:
    opened = show("googlenet.cnn")
    assert opened.page.title() == "GoogLeNet"
    # The net's own 16 layers, 11 blocks, an input and three outputs: counted in specs/googlenet.cnn.
    assert opened.page.locator("svg .item.block:not(.frame)").count() == 11
    assert opened.page.locator("svg .item.input").count() == 1
    assert opened.page.locator("svg .item.output").count() == 3
    assert "6,998,552 parameters (13,378,280 with the training heads), 1,582,671,872 MACs" in opened.about()
    assert "net GoogLeNet(classes = 1000)" in opened.line()


@pytest.mark.parametrize(
    "spec", ["googlenet.cnn", "resnet.cnn:ResNet34", "unet.cnn:UNet", "cifar_resnet.cnn:ResNet110"]
)
def test_the_page_asks_graphviz_what_the_svg_asks(show: Opener, spec: str) -> None:
    graph = api.load(ROOT / "specs" / spec)
    made = outline(graph)
    shown = show(spec, text=write(graph))
    for depth in (1, 2, None):
        open = opened(made, depth)
        shown.page.evaluate("open => { picture.open.clear(); open.forEach((i) => picture.open.add(i)); }", sorted(open))
        assert shown.page.evaluate("picture.dot()") == dot(made, scene(made, open))


def test_a_block_opens_and_closes(show: Opener) -> None:
    opened = show("googlenet.cnn")
    block = opened.box("i4a")
    assert block.get_attribute("aria-expanded") == "false"
    assert opened.box("i4a.b3.conv").count() == 0
    block.dblclick()
    assert opened.box("i4a").get_attribute("aria-expanded") == "true"
    # Szegedy et al., table 1: 4a has 208 3x3 filters.
    assert "3×3, 208" in (opened.box("i4a.b3.conv").text_content() or "")
    assert opened.page.locator(".arrow", has_text="512×14×14").count() > 0
    opened.page.get_by_role("button", name="Close the block").click()
    assert opened.box("i4a").get_attribute("aria-expanded") == "false"
    assert opened.box("i4a.b3.conv").count() == 0


def test_levels_open_and_close(show: Opener) -> None:
    opened = show("resnet.cnn:ResNet34")
    layers = opened.page.locator("svg .item.layer")
    before = layers.count()
    opened.page.get_by_role("button", name="Open a level").click()
    assert opened.page.locator("svg .item.block:not(.frame)").count() == 3 + 4 + 6 + 3  # He et al., table 1
    opened.page.keyboard.press("o")
    assert layers.count() == 125  # all of the net's layers
    assert opened.page.get_by_role("button", name="Open a level").is_disabled()
    opened.page.keyboard.press("c")
    opened.page.keyboard.press("c")
    assert layers.count() == before
    assert opened.page.get_by_role("button", name="Close a level").is_disabled()


def test_a_click_shows_a_layers_weights_and_its_line(show: Opener) -> None:
    opened = show("resnet.cnn:ResNet34")
    opened.box("conv1").click()
    assert "conv1: conv(64, k=7, stride=2, pad=3, bias=false)" in opened.line()
    assert opened.page.locator("#spec mark").inner_text() == "conv(64, k=7, stride=2, pad=3, bias=false)"
    about = opened.about()
    # 64 x 3 x 7 x 7 weights, each used at 112 x 112 places.
    assert f"{64 * 3 * 49:,}" in about
    assert f"{64 * 3 * 49 * 112 * 112:,}" in about
    assert "64×3×7×7" in about
    assert "3×224×224 → 64×112×112" in about
    line = opened.page.locator("#spec .here").bounding_box()
    pane = opened.page.locator("#spec").bounding_box()
    assert line is not None
    assert pane is not None
    assert pane["y"] <= line["y"] <= pane["y"] + pane["height"] - line["height"]
    opened.box("layer1").click()
    assert "layer1: unit(64) * depths[0]" in opened.line()
    assert "221,952" in opened.about()  # 6 x (64 x 64 x 9 + 2 x 64)


def test_a_line_of_the_spec_shows_what_was_written_there(show: Opener) -> None:
    opened = show("googlenet.cnn")
    opened.page.locator("#spec .used", has_text="-> i3a: mixed").click()
    assert "i3a" in opened.about()
    assert "lit" in (opened.box("i3a").get_attribute("class") or "")


def test_search_finds_a_layer_in_a_closed_block(show: Opener) -> None:
    opened = show("resnet.cnn:ResNet34")
    assert opened.box("layer3.5.conv2").count() == 0
    opened.page.keyboard.press("/")
    opened.page.keyboard.type("layer3.5.conv2")
    assert opened.page.get_by_role("option").first.inner_text().startswith("layer3.5.conv2")
    opened.page.keyboard.press("Enter")
    assert opened.box("layer3.5.conv2").is_visible()
    assert "conv2: conv(width)" in opened.line()
    opened.page.get_by_role("combobox").fill("nowhere")
    assert "Nothing is called so." in opened.page.locator("#hits").inner_text()


def test_the_keyboard_goes_from_box_to_box(show: Opener) -> None:
    opened = show("resnet.cnn:ResNet34")
    opened.page.keyboard.press("/")
    for _ in range(10):  # past the tools, into the picture: one stop of the Tab key
        opened.page.keyboard.press("Tab")
        if opened.page.evaluate("document.activeElement.closest('svg') !== null"):
            break
    names: list[str] = []
    for _ in range(6):
        names.append(opened.page.evaluate("document.activeElement.getAttribute('aria-label').split(':')[0]"))
        opened.page.keyboard.press("ArrowDown")
    assert names == ["image", "conv1", "bn1", "relu", "maxpool", "layer1"]
    opened.page.keyboard.press("ArrowUp")
    opened.page.keyboard.press("Enter")
    assert opened.box("layer1").get_attribute("aria-expanded") == "true"
    assert opened.page.evaluate("document.activeElement.getAttribute('aria-label').split(':')[0]") == "layer1"


def test_zoom_and_pan_change_the_view(show: Opener) -> None:
    opened = show("lenet5.cnn")

    def view() -> list[float]:
        return [float(x) for x in (opened.page.locator("#paper svg").get_attribute("viewBox") or "").split()]

    first = view()
    opened.page.get_by_role("button", name="Larger").click()
    assert view()[2] < first[2]
    larger = opened.page.locator("#paper svg").get_attribute("viewBox") or ""
    opened.page.mouse.move(400, 500)
    opened.page.mouse.wheel(0, 300)
    expect(opened.page.locator("#paper svg")).not_to_have_attribute("viewBox", larger)
    before = view()
    opened.page.mouse.down()
    opened.page.mouse.move(500, 560, steps=4)
    opened.page.mouse.up()
    after = view()
    assert after[2:] == before[2:]
    assert after[0] < before[0]
    assert after[1] < before[1]


def luminance(colour: str) -> float:
    red, green, blue = (int(x) / 255 for x in colour.removeprefix("rgb(").removesuffix(")").split(","))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("dark", [False, True])
def test_paper_and_words_follow_the_colour_scheme(show: Opener, dark: bool) -> None:
    opened = show("lenet5.cnn", dark=dark)
    paper = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    box = opened.page.evaluate("getComputedStyle(document.querySelector('.item.conv > path')).fill")
    words = opened.page.evaluate("getComputedStyle(document.querySelector('.item.conv > text')).fill")
    assert (luminance(paper) < 0.2) == (luminance(box) < 0.4) == (luminance(words) > 0.6) == dark
    opened.page.emulate_media(media="print")
    printed = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert luminance(printed) == 1  # on paper it is light, whatever the screen was
    assert not opened.page.locator("aside").is_visible()
    # Below a heading, what is taller than a sheet would begin on the second.
    assert opened.page.evaluate("document.querySelector('#paper svg').getBoundingClientRect().top") == 0


def test_words_stay_in_their_boxes(show: Opener) -> None:
    opened = show("googlenet.cnn", None)
    # Fonts differ from machine to machine; a box has room for one that is a tenth wider than Helvetica.
    wide = opened.page.evaluate(
        """() => [...document.querySelectorAll("svg .item.layer")].filter((g) => {
          const box = g.querySelector("path").getBBox();
          const inside = (t) => t.x >= box.x && t.x + t.width <= box.x + box.width;
          return ![...g.querySelectorAll("text")].every((text) => inside(text.getBBox()));
        }).map((g) => g.getAttribute("aria-label"))"""
    )
    assert wide == []


def test_what_a_stranger_wrote_is_never_run(show: Opener, tmp_path: Path) -> None:
    text = (
        "# </script><script>globalThis.owned = 1</script><img src=x onerror='globalThis.owned = 1'>\n"
        "block u(c) { conv(c, k=1) -> relu -> maxpool(k=1) }\n"
        "net T { input x: f32[N, 3, 4, 4] output y: f32[N, 3, 4, 4]\n  from x -> a: u(3) -> relu => y }\n"
    )
    folder = tmp_path / "<img src=x onerror=alert(1)>"
    folder.mkdir()
    spec = folder / "</script><script>globalThis.owned = 1</script>.cnn".replace("/", "")
    spec.write_text(text, encoding="utf-8")
    opened = show("", text=write(api.load(spec)))
    opened.box("a").dblclick()
    opened.box("a.conv").click()
    assert opened.page.evaluate("globalThis.owned") is None
    assert "<script>globalThis.owned = 1</script>" in opened.page.locator("#spec").inner_text()
    assert opened.page.locator("img").count() == 0


def test_a_view_that_is_too_large_is_not_opened(show: Opener) -> None:
    opened = show("cifar_resnet.cnn:ResNet1202")
    opened.page.keyboard.press("o")
    assert opened.page.locator("svg .item.block:not(.frame)").count() == 600
    opened.page.keyboard.press("o")
    assert "1,000 are laid out at most" in opened.page.get_by_role("status").inner_text()
    assert opened.page.locator("svg .item.block:not(.frame)").count() == 600
