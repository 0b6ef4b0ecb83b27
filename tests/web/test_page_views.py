"""The full view, duplicates, keys, narrow windows, dark colours and accessible names, in a real browser."""

from __future__ import annotations

import json

import pytest
from web_library import PURPLE

# WCAG's contrast of the text of each element with what is behind it; and elements that nobody can name.
CONTRAST = """(selector) => {
  const context = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const rgb = (colour) => {
    context.clearRect(0, 0, 1, 1); context.fillStyle = colour; context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => rgb(colour).slice(0, 3).map((it) => it / 255)
    .map((it) => it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4)
    .reduce((sum, it, i) => sum + it * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (it) => !it ? "Canvas" : rgb(getComputedStyle(it).backgroundColor)[3] > 250
    ? getComputedStyle(it).backgroundColor : behind(it.parentElement);
  return [...document.querySelectorAll(selector)].filter((it) => it.checkVisibility()).map((it) => {
    const [a, b] = [light(getComputedStyle(it).color), light(behind(it))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  });
}"""
NAMELESS = """() => [...document.querySelectorAll("a, button, input, select, textarea, dialog[open], [role=list]")]
  .filter((it) => it.checkVisibility() && !(it.ariaLabel || it.textContent.trim() || it.labels?.length
    || it.getAttribute("aria-labelledby"))).map((it) => it.outerHTML)"""


def fits(page):
    """Whether nothing sticks out to the side."""
    return page.run("() => document.documentElement.scrollWidth <= innerWidth")


def opened(page):
    page.tab.wait_for_selector("#viewer[open] dl")
    return page.text("#viewer-name")


def test_the_full_view_tells_all_and_steps_through_the_list(open_page, index):
    page = open_page(
        "/?from=2024&to=2024&where=latitude+%3E+0+OR+month+%3D+3", permissions=["clipboard-read", "clipboard-write"]
    )
    names = page.names()
    page.tab.click(".tile >> nth=0")
    assert opened(page) == names[0] and page.text(".place") == f"1 of {len(names)}"
    page.tab.wait_for_function("() => document.querySelector('.large.there')?.naturalWidth > 0")
    page.tab.keyboard.press("ArrowLeft")  # there is none before it
    for name in names[1:]:
        page.tab.keyboard.press("ArrowRight")
        page.tab.wait_for_function("(name) => document.querySelector('#viewer-name').textContent === name", arg=name)
    page.tab.click(".step.before")
    page.tab.click(".step.after")
    panel = page.text(".panel")
    row = index.row(page.asks.split("open=")[1])
    for words in (
        "15 January 2024, 10:00",
        "160 × 120",
        "JPEG · ",
        "Maker Pixel 7",
        "41.90000° N, 12.50000° W",
        str(row.path),
    ):
        assert words in panel
    page.tab.click("[aria-label='Copy the path']")
    assert page.run("() => navigator.clipboard.readText()") == str(row.path)
    with page.tab.expect_download() as download:
        page.tab.click("text=Download")
    assert download.value.suggested_filename == row.name
    page.tab.keyboard.press("Escape")
    page.tab.wait_for_function("() => !document.querySelector('#viewer').open")
    assert "open=" not in page.asks
    assert page.run("() => document.activeElement.closest('.tile').dataset.id") == row.id  # where one has come to


def test_a_picture_has_an_address_of_its_own(open_page, index):
    row = index.rows("format = 'TIFF'")[0]
    page = open_page(f"/?open={row.id}")
    assert opened(page) == "orange.tif" and "300 × 150" in page.text(".panel")
    page.tab.wait_for_function("() => document.querySelector('.large.there')?.naturalWidth === 300")  # as JPEG
    page.tab.click("[aria-label=Close]")
    assert page.asks == "" and not page.tab.locator("#viewer").is_visible()
    gone = open_page("/?open=gone", complaints=["404"])
    gone.tab.wait_for_selector("text=This picture is not in the index any more.")


def test_stepping_goes_on_where_the_loaded_part_ends(open_page, index):
    rows = index.rows(limit=None)
    page = open_page(f"/?open={rows[79].id}")
    assert opened(page) == rows[79].name and page.text(".place") == "80 of 100"
    page.tab.keyboard.press("ArrowRight")
    page.tab.wait_for_function(
        "(name) => document.querySelector('#viewer-name').textContent === name", arg=rows[80].name
    )
    page.tab.keyboard.press("Escape")
    page.tab.wait_for_function("() => !document.querySelector('#viewer').open")
    assert page.run("() => document.activeElement.closest('.tile').dataset.id") == rows[80].id


def test_more_like_this_is_a_search(open_page):
    page = open_page("/?q=purple")
    page.tab.click(".tile >> nth=0")
    opened(page)
    page.tab.wait_for_selector(".alike a")
    assert set(page.tab.locator(".alike a").evaluate_all("them => them.map((it) => it.title)")) < PURPLE
    assert "Relevance" in page.text(".panel")
    page.tab.click("text=More like this")
    page.settled()
    assert page.asks.startswith("?like=") and set(page.names()) == PURPLE
    page.tab.wait_for_function("() => document.querySelector('.chip img').naturalWidth > 0")
    page.tab.go_back()
    assert opened(page) in PURPLE


def test_duplicates_stand_side_by_side(open_page):
    page = open_page()
    page.tab.click("#duplicates-link")
    page.tab.wait_for_selector(".group")
    assert sorted(page.tab.locator(".side .name").all_inner_texts()) == ["copy.jpg", "red-2019-00.jpg"]
    first, second = (page.tab.locator(".side").nth(i).bounding_box() for i in (0, 1))
    assert first["y"] == second["y"] and second["x"] >= first["x"] + first["width"]
    page.tab.click("text=Near copies")
    page.tab.wait_for_selector(".badge")
    assert page.asks == "?view=duplicates&kind=near"
    sides = page.tab.locator(f".group:has-text({json.dumps('purple small')}) .facts b").all_inner_texts()
    assert {"200 × 200", "100 × 100"} <= set(sides)  # what differs is marked
    page.tab.click(".side .pic >> nth=0")
    opened(page)
    page.tab.keyboard.press("Escape")
    page.search("purple")
    assert set(page.names()) == PURPLE and not page.tab.locator("#duplicates").is_visible()


def test_duplicates_that_cannot_be_had_are_asked_for_once(open_page):
    page = open_page(complaints=["409"])
    asked = []

    def refuse(route):
        asked.append(route.request.url)
        route.fulfill(status=409, json={"error": "The index is damaged."})

    page.tab.route("**/api/duplicates*", refuse)
    page.tab.click("#duplicates-link")
    page.tab.wait_for_selector("#duplicates .lead:has-text('The index is damaged.')")
    page.tab.wait_for_timeout(300)
    assert len(asked) == 1


def test_everything_can_be_done_with_keys(open_page, index):
    page = open_page()
    names = [row.name for row in index.rows(limit=None)]
    active = "() => document.activeElement.querySelector?.('.name')?.textContent ?? document.activeElement.id"
    page.tab.keyboard.press("ArrowDown")
    assert page.run(active) == names[0]
    page.tab.keyboard.press("ArrowRight")
    page.tab.keyboard.press("ArrowRight")
    page.tab.keyboard.press("ArrowLeft")
    assert page.run(active) == names[1]
    page.tab.keyboard.press("ArrowDown")
    assert page.run(active) not in names[:3]
    page.tab.keyboard.press("ArrowUp")
    page.tab.keyboard.press("Home")
    assert page.run(active) == names[0]
    page.tab.keyboard.press("Enter")
    assert opened(page) == names[0]
    page.tab.keyboard.press("Escape")
    page.tab.wait_for_function("() => !document.querySelector('#viewer').open")
    assert page.run(active) == names[0]
    page.tab.keyboard.press("?")
    assert page.tab.locator("#keys").is_visible() and "to the search box" in page.text("#keys")
    page.tab.keyboard.press("Escape")
    page.tab.keyboard.press("/")
    assert page.run(active) == "query"
    page.tab.keyboard.press("Escape")
    page.tab.keyboard.press("d")
    page.tab.wait_for_selector(".group")


@pytest.mark.parametrize("path", ["/?q=red&minus=yellow&all=1", "/?q=white", "/?view=duplicates&kind=near", "/?open="])
def test_it_fits_a_phone(open_page, index, path):
    path += index.rows(limit=1)[0].id if path.endswith("open=") else ""
    page = open_page(path, width=360, height=640, device_scale_factor=2, is_mobile=True, has_touch=True)
    if "open" in path:
        opened(page)
        assert page.run("() => document.querySelector('#viewer').scrollWidth") <= 360
    assert fits(page)
    if "q=red" in path:
        page.tab.wait_for_function("() => document.querySelector('.tile img').naturalWidth > 0")
        page.tab.tap("[data-name=camera]")
        menu = page.tab.locator(".menu").bounding_box()
        assert (menu["x"], menu["width"]) == (0, 360) and menu["y"] + menu["height"] == 640  # at the thumb
        small = page.run(
            "() => [...document.querySelectorAll('.menu .choice')].filter((it) => it.offsetHeight < 44).length"
        )
        assert small == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_system_and_can_be_chosen(open_page, scheme):
    other = {"light": "dark", "dark": "light"}[scheme]
    page = open_page("/?q=white&camera=X100", color_scheme=scheme)

    def shown():
        paper = page.run("() => getComputedStyle(document.body).backgroundColor")
        return "light" if int(paper.split("(")[1].split(",")[0]) > 128 else "dark"

    assert shown() == scheme
    for _ in range(2):
        contrasts = page.run(
            CONTRAST, ".pill span, #message p, #message h2, #message small, .button, .foot span, .link, #query"
        )
        assert len(contrasts) > 10 and min(contrasts) >= 4.5
        page.tab.click("#theme")
    page.tab.click("#theme")
    assert shown() == other
    page.tab.reload()
    assert shown() == other
    page.tab.click("#theme")
    assert shown() == scheme and page.run("() => localStorage.length") == 0  # what the system says is not kept


def test_everything_has_a_name(open_page):
    page = open_page("/?q=red&minus=blue&all=1")
    assert page.run(NAMELESS) == []
    page.tab.click("[data-name=date]")
    assert page.run(NAMELESS) == []
    page.tab.keyboard.press("Escape")
    page.tab.click(".tile >> nth=0")
    opened(page)
    assert page.run(NAMELESS) == []
    assert page.run("() => document.querySelectorAll('h1').length") == 1
