"""The page at `/` in Debian's Chromium: a picture or a drawing in, the server's own answer out, light and dark."""

import io
import json
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.serve.conftest import Served, as_json, write_lenet5, write_model

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("chromium")]
TOKEN = "a-token-of-the-tests"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, root: Path, serving: Callable[..., Served]) -> Generator[Served]:
    """LeNet-5 with initial weights, and the tiny model beside it."""
    models = tmp_path_factory.mktemp("page") / "models"
    write_lenet5(models, root)
    write_model(models / "tiny" / "1" / "model.onnx")
    made = serving(models, "--drain-seconds", "1")
    yield made
    assert made.stop() == 0


@pytest.fixture
def opened(chromium: Browser, served: Served) -> Iterator[Callable[..., Page]]:
    """Opens the page; afterwards it may have asked nobody else, and have complained of nothing."""
    asked, wrong, contexts = list[str](), list[str](), list[Any]()

    def open_page(*, dark: bool = False, width: int = 1200) -> Page:
        context = chromium.new_context(
            color_scheme="dark" if dark else "light", viewport={"width": width, "height": 900}, reduced_motion="reduce"
        )
        context.set_default_timeout(30_000)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(served.url)
        expect(page.locator("#model option")).to_have_count(2)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [url for url in asked if not url.startswith((served.url, "blob:", "data:"))] == []
    assert wrong == []


def picture() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.RandomState(1).randint(0, 256, (28, 28), np.uint8)).save(file, "PNG")
    return file.getvalue()


def rows(page: Page) -> list[list[str]]:
    return [
        [cell.strip() for cell in each.locator("td").all_inner_texts()] for each in page.locator("#answer tr").all()
    ]


def told(served: Served, model: str, content: bytes) -> list[list[str]]:
    """The rows that the server's own answer makes."""
    (output,) = as_json(served.client.post(f"/v2/models/{model}/images?top=10", content=content))["outputs"].values()
    return [[each["label"], f"{100 * each['probability']:.1f} %"] for each in output["labels"]]


@pytest.mark.parametrize("model", ["lenet5", "tiny"])
def test_a_picture_is_answered_as_the_server_answers_it(
    opened: Callable[..., Page], served: Served, model: str
) -> None:
    page = opened()
    page.select_option("#model", model)
    page.set_input_files("#file", {"name": "digit.png", "mimeType": "image/png", "buffer": picture()})
    wanted = told(served, model, picture())
    expect(page.locator("#answer tr")).to_have_count(len(wanted))
    assert rows(page) == wanted
    expect(page.locator("#took")).to_contain_text("ms there and back")
    expect(page.locator("#shown")).to_be_visible()


def test_a_drawing_is_answered_and_another_stroke_asks_again(opened: Callable[..., Page]) -> None:
    page = opened()
    page.select_option("#model", "lenet5")
    expect(page.locator("#takes")).to_contain_text("lenet5 takes gray pictures of 28 × 28")
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    seen: list[list[list[str]]] = []
    for end in (0.8, 0.2):
        with page.expect_response(lambda response: response.url.endswith("/images?top=10")):
            page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.1)
            page.mouse.down()
            page.mouse.move(box["x"] + box["width"] * end, box["y"] + box["height"] * 0.9, steps=8)
            page.mouse.up()
        expect(page.locator("#answer tr")).to_have_count(10)
        page.wait_for_timeout(100)
        seen.append(rows(page))
    assert seen[0] != seen[1]
    assert abs(sum(float(share.removesuffix(" %")) for _, share in seen[0]) - 100) < 1


def contrast(page: Page, selector: str) -> float:
    """The ratio of luminance of a text and what is behind it (WCAG 2.2, "contrast ratio")."""
    return page.evaluate(
        """(selector) => {
        const light = (color) => {
            const [r, g, b] = color.match(/[\\d.]+/g).map((each) => each / 255)
                .map((each) => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        let behind = document.querySelector(selector);
        const text = light(getComputedStyle(behind).color);
        while (behind && getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
        const ground = light(getComputedStyle(behind || document.body).backgroundColor);
        return (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
    }""",
        selector,
    )


@pytest.mark.parametrize("dark", [False, True])
def test_text_is_readable_in_light_and_dark_and_on_a_phone(opened: Callable[..., Page], dark: bool) -> None:
    page = opened(dark=dark, width=360)
    page.set_input_files("#file", {"name": "digit.png", "mimeType": "image/png", "buffer": picture()})
    expect(page.locator("#answer tr").first).to_be_visible()
    for selector in ("h1", "#takes", "#took", "#clear", "#model", "#answer td"):
        assert contrast(page, selector) >= 4.5, selector
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(18, 22, 28)" if dark else "rgb(255, 255, 255)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_what_the_server_refuses_is_shown_as_text(chromium: Browser, served: Served) -> None:
    page = chromium.new_page()
    page.goto(served.url)
    expect(page.locator("#model option")).to_have_count(2)
    page.set_input_files("#file", {"name": "<b>.png", "mimeType": "image/png", "buffer": b"<b>no picture</b>"})
    expect(page.locator("#error")).to_contain_text("R303")
    assert rows(page) == []
    page.close()


def test_a_token_is_asked_for_and_sent(chromium: Browser, tmp_path: Path, serving: Callable[..., Served]) -> None:
    write_model(tmp_path / "models" / "tiny" / "1" / "model.onnx")
    (tmp_path / "token").write_text(TOKEN + "\n")
    server = serving(tmp_path / "models", "--token-file", str(tmp_path / "token"), "--drain-seconds", "1")
    try:
        page = chromium.new_page()
        page.goto(server.url)
        expect(page.locator("#token")).to_be_visible()
        page.fill("#token", TOKEN)
        page.click("#ask button")
        expect(page.locator("#model option")).to_have_count(1)
        page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": picture()})
        expect(page.locator("#answer tr")).to_have_count(3)
        page.close()
    finally:
        assert server.stop() == 0


def test_the_page_may_do_no_more_than_it_needs(served: Served) -> None:
    response = served.client.get("/")
    assert response.headers["content-type"].startswith("text/html")
    policy = dict(each.strip().split(" ", 1) for each in response.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert "unsafe" not in json.dumps(policy)
    assert response.headers["x-content-type-options"] == "nosniff"
