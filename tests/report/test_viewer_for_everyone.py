"""The viewer by keyboard, for screen readers, in light and dark, and on narrow screens."""

import io

import pytest
from PIL import Image
from viewer_browser import address, axe_or_skip, click, count, title
from viewer_pages import N


def test_the_keyboard_moves_through_the_list(opened):
    opened.press("j", "j", "ArrowDown", "k")
    assert title(opened) == "a L0/U1 ↔ b L1/U1"  # third, after the first of either group
    opened.press("End")
    last = title(opened)
    assert last == "a L14/U1499 ↔ b L15/U1499"
    assert opened.run(
        "return document.querySelector('[aria-selected=true]').textContent.includes('U1499')"
    )
    opened.press("ArrowDown")
    assert title(opened) == last
    opened.press("Home", "/", "7", ".", "7", "0", "0", "Enter", "j")
    assert opened.run("return document.getElementById('q').value") == "7.700"
    assert title(opened) == "a L7/U700 ↔ b L8/U700"


def test_colours_follow_the_system_or_the_switch(opened):
    page_colour = "return getComputedStyle(document.body).backgroundColor"
    light = opened.run(page_colour)
    opened.command(
        "Emulation.setEmulatedMedia",
        features=[{"name": "prefers-color-scheme", "value": "dark"}],
    )
    dark = opened.run(page_colour)
    opened.command("Emulation.setEmulatedMedia", features=[])
    assert opened.run(page_colour) == light != dark
    click(opened, "#colours")
    assert opened.run(page_colour) == dark
    opened.reload()
    assert opened.run(page_colour) == dark, "the browser keeps the choice"
    opened.press("d")
    assert opened.run(page_colour) == light
    opened.press("d")
    assert "as the system" in opened.run("return document.getElementById('colours').textContent")


def test_everything_can_be_done_with_the_keyboard_alone(opened):
    """Filter by layer, read, star, show the partner's contexts; then clear all and go back."""
    opened.press("f", "Tab", "Tab", "ArrowDown", "ArrowDown")
    assert opened.run("return document.activeElement.id") == "layer"
    assert count(opened) == 100
    opened.press("Enter", "PageDown", "PageUp", "ArrowDown", "Enter")
    assert opened.run("return document.activeElement.tagName") == "H1"
    opened.press("Tab")
    assert opened.run("return document.activeElement.id") == "star"
    opened.press("Enter")
    assert opened.run("return document.activeElement.getAttribute('aria-pressed')") == "true"
    opened.press("Space", "Tab", "Tab", "Tab", "Enter")  # past the link to Neuronpedia
    pressed = "return document.querySelector('.toolbar [aria-pressed=true]').textContent"
    assert opened.run(pressed) == "b"
    opened.wait("return location.hash.includes('of=b')")
    assert address(opened) == "#a--b/L1/U101?layer=1&of=b"
    opened.press("Escape")
    assert opened.run("return document.activeElement.id") == "list"
    assert count(opened) == N


def test_the_list_tells_a_screen_reader_where_it_is(opened):
    opened.press("j", "j")
    active = (
        "const list = document.getElementById('list');"
        "return document.getElementById(list.getAttribute('aria-activedescendant'))"
    )
    found = opened.run(f"{active}.getAttributeNames().map((name) => name)")
    assert {"role", "aria-selected", "aria-setsize", "aria-posinset"} <= set(found)
    assert (
        opened.run(active.replace("return ", "const row = ") + "; return row.ariaPosInSet") == "3"
    )
    nameless = (
        "return [...document.querySelectorAll('button, input, select')].filter((field) => "
        "!(field.ariaLabel || field.textContent.trim() || field.labels?.length)).length"
    )
    assert opened.run(nameless) == 0


AXE = """
    return axe.run().then((found) => found.violations
        .filter((one) => ["serious", "critical"].includes(one.impact))
        .map((one) => [one.id, ...one.nodes.map((node) => node.html + node.failureSummary)]));
"""


def test_axe_finds_no_serious_barrier(opened, tmp_path):
    axe = axe_or_skip(tmp_path)
    for colours in ("light", "dark"):
        opened.command(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": colours}],
        )
        for row in ("#row-0", "#row-1"):
            click(opened, row)
            opened.command("Runtime.evaluate", expression=axe)
            assert opened.run(AXE) == []
    opened.run("document.getElementById('q').removeAttribute('aria-label')")
    opened.run("document.getElementById('q').removeAttribute('placeholder')")
    assert [found[0] for found in opened.run(AXE)] == ["label"], "it finds what is there"
    opened.command("Emulation.setEmulatedMedia", features=[])


OVERLAPS = """
    const drawn = (one) => getComputedStyle(one).display !== "inline" && one.offsetParent;
    const inside = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
        && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
    const start = (one) => one.outerHTML.slice(0, 80);
    const found = [];
    for (const parent of document.querySelectorAll("body, body *:not(svg, svg *)")) {
        const parts = [...parent.children].filter(drawn);
        const boxes = parts.map((one) => one.getBoundingClientRect());
        parts.forEach((one, i) => parts.forEach((other, j) => {
            if (i < j && inside(boxes[i], boxes[j])) found.push([start(one), start(other)]);
        }));
    }
    return found;
"""
WIDER_THAN_THE_PAGE = """
    return [...document.querySelectorAll("body *")].filter((one) => {
        const box = one.getBoundingClientRect();
        return box.width && (box.right > innerWidth + 1 || box.left < -1);
    }).map((one) => one.outerHTML.slice(0, 80));
"""


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_overlaps_or_leaves_the_page_at_any_width(opened, page, width):
    opened.resize(width, 900)
    opened.open(page.as_uri() + "#a--b--c/L50/U3?group=a--b--c")
    opened.reload()
    assert opened.run("return document.documentElement.scrollWidth") <= width
    assert opened.run(WIDER_THAN_THE_PAGE) == []
    assert opened.run(OVERLAPS) == []
    colours = Image.open(io.BytesIO(opened.screenshot())).convert("RGB").getcolors(1 << 20)
    assert len(colours) > 20, "something is drawn"
    opened.command("Emulation.clearDeviceMetricsOverride")


def test_overlaps_are_found(opened):
    opened.run("document.querySelector('.toolbar').style.marginTop = '-40px'")
    assert opened.run(OVERLAPS)
    opened.run("document.querySelector('main').style.minWidth = '3000px'")
    assert opened.run(WIDER_THAN_THE_PAGE)
