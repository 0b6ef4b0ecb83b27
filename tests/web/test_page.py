"""The search page in a real browser: words, dropped pictures, mixtures, filters, scrolling, the address."""

from __future__ import annotations

import base64
import io

import pytest
from search.colour_embedder import picture
from web_library import ODD, PURPLE

FILE = """([data, type]) => {
  const bytes = Uint8Array.from(atob(data), (it) => it.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], "mine.png", {type: "image/png"}));
  if (type === "paste") dispatchEvent(new ClipboardEvent("paste", {clipboardData: carried, bubbles: true}));
  else for (const kind of ["dragenter", "dragover", type])
    document.body.dispatchEvent(new DragEvent(kind, {dataTransfer: carried, bubbles: true, cancelable: true}));
}"""


def carry(page, kind, colour="purple"):
    stream = io.BytesIO()
    picture(colour, 5, (80, 60)).save(stream, "PNG")
    page.run(FILE, [base64.b64encode(stream.getvalue()).decode(), kind])


def test_a_query_shows_the_right_pictures_first(open_page):
    page = open_page()
    assert page.run("() => document.activeElement.id") == "query"
    page.search("purple")
    assert set(page.names()) == PURPLE and page.asks == "?q=purple"
    assert page.text("#summary") == "2 of 100 pictures for “purple”"
    assert page.tab.title() == "“purple” – Photo search"
    tile = page.tab.locator(".tile a").first
    assert "relevance 100%, score " in tile.get_attribute("aria-label")
    word = page.tab.locator(".tile .word").first
    assert word.evaluate("it => getComputedStyle(it).opacity") == "0"
    tile.hover()
    page.tab.wait_for_function("() => getComputedStyle(document.querySelector('.tile .word')).opacity === '1'")
    page.tab.wait_for_function("() => document.querySelector('.tile img').naturalWidth > 0")


def test_what_is_not_there_is_said_and_the_nearest_are_a_click_away(open_page):
    page = open_page("/?q=white")
    assert page.text("#message h2") == "Nothing like “white” in these 100 pictures"
    assert "The nearest is this one" in page.text("#message .nearest") and page.names() == []
    page.tab.click("text=Show the nearest anyway")
    page.settled()
    assert page.asks == "?q=white&all=1" and len(page.names()) > 10
    assert page.text("#grid h2") == "Nothing is alike; these are the nearest"
    page.tab.click("text=Only what is alike")
    page.settled()
    assert page.text("#message h2").startswith("Nothing like")


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_picture_that_is_dropped_or_pasted_finds_its_like(open_page, kind):
    page = open_page()
    if kind == "drop":
        carry(page, "dragover")
        assert page.tab.locator("#drop").is_visible()
    carry(page, kind)
    page.tab.wait_for_selector(".chip")
    page.settled()
    assert set(page.names()) == PURPLE and not page.tab.locator("#drop").is_visible()
    page.tab.wait_for_function("() => document.querySelector('.chip img').naturalWidth > 0")
    page.goto("/" + page.asks)  # the address alone finds it again
    assert set(page.names()) == PURPLE
    page.tab.click(".chip .sign")
    page.settled()
    assert page.asks.startswith("?unimage=") and page.text(".chip") == "not like"
    page.tab.click(".chip .off")
    page.settled()
    assert page.asks == ""


def test_a_chosen_file_that_is_no_picture_is_refused_by_a_sentence(open_page, tmp_path):
    page = open_page(complaints=["415"])
    (tmp_path / "notes.png").write_text("hello")
    page.tab.set_input_files("#file", tmp_path / "notes.png")
    page.tab.wait_for_selector("#notice.on")
    assert page.text("#notice") == "The picture is a text file, not an image; it begins with 'hello'."
    assert page.asks == ""


def test_words_with_a_minus_become_what_is_not_wanted(open_page, index):
    page = open_page()
    page.search('red -yellow -"light blue"')
    assert page.asks == "?q=red&minus=yellow&minus=light+blue"
    assert page.tab.input_value("#query") == "red" and page.text("#without").split() == [
        "without",
        "yellow",
        "without",
        "light",
        "blue",
    ]
    page.tab.press("#query", "Home")
    page.tab.click("#without .off >> nth=1")
    page.settled()
    assert page.asks == "?q=red&minus=yellow"
    page.tab.click("#clear")
    page.settled()
    assert page.asks == "" and page.text("#summary") == "100 pictures, newest first"


def test_filters_narrow_down_and_are_in_the_address(open_page):
    page = open_page()
    page.tab.click("[data-name=camera]")
    assert page.tab.locator(".menu .choice").all_inner_texts() == ["X100\n65", "Pixel 7\n32"]
    page.tab.click(".menu .choice >> nth=0")
    page.settled()
    assert page.text("#summary") == "65 pictures that match the filters, newest first"
    page.tab.click("[data-name=date]")
    page.tab.click("[aria-label='2021: 32 pictures']")
    page.settled()
    assert page.asks == "?from=2021&to=2021&camera=X100" and page.text("#summary").startswith("32 pictures")
    page.search("red")
    assert all(name.startswith("red-2021") for name in page.names())
    page.tab.click("text=Clear filters")
    page.settled()
    assert page.asks == "?q=red"
    page.tab.click("[data-name=folder]")
    page.tab.keyboard.type("2024b")
    page.tab.click(".menu .choice:visible")
    page.settled()
    assert page.names() == ["copy.jpg"]


def test_filters_that_leave_nothing_can_be_removed(open_page):
    page = open_page("/?camera=Pixel+7&to=2019")
    assert page.text("#message h2") == "No picture matches these filters" and "null" not in page.text("#message")
    page.tab.click("text=Remove the filters")
    page.settled()
    assert page.asks == "" and len(page.names()) > 10


def test_a_wrong_condition_is_answered_on_the_page(open_page):
    page = open_page("/?q=red", complaints=["400"])
    page.tab.click("[data-name=where]")
    page.tab.fill(".menu textarea", "yaer > 2000")
    page.tab.click("text=Apply")
    page.settled()
    assert page.text("#message p").startswith("The condition names 'yaer', which is not a column of the index.")
    page.tab.click("text=Remove the condition")
    page.settled()
    assert page.asks == "?q=red" and page.names()


def test_scrolling_loads_the_rest_and_keeps_only_what_is_near(open_page, index):
    page = open_page(width=600, height=500)
    seen = list(page.names())
    first = len(seen)
    for _ in range(60):
        page.tab.mouse.wheel(0, 700)
        page.tab.wait_for_timeout(40)
        seen += [name for name in page.names() if name not in seen]
        if len(seen) == len(index):
            break
    assert seen == [row.name for row in index.rows(limit=None)] and first < 60 > len(page.names())
    places = page.run("() => [...document.querySelectorAll('.tile')].map((it) => Number(it.ariaPosInSet))")
    assert places == sorted(places) and places[-1] == len(index)


def test_pictures_keep_their_proportions_and_rows_fill_the_width(open_page, index):
    page = open_page("/?q=red&all=1")
    boxes = page.run("""() => [...document.querySelectorAll(".tile")].map((it) =>
      [it.dataset.id, it.offsetTop + it.getBoundingClientRect().top, ...["left", "right", "width", "height"].map(
        (side) => it.getBoundingClientRect()[side])])""")
    left, right = page.run(
        "() => ['left', 'right'].map((it) => document.querySelector('#grid').getBoundingClientRect()[it])"
    )
    rows = {}
    for id, top, *box in boxes:
        row = index.row(id)
        assert box[2] / box[3] == pytest.approx(row.width / row.height, rel=0.01)
        rows.setdefault(round(top), []).append(box)
    for tiles in list(rows.values())[:2]:
        assert tiles[0][0] == pytest.approx(left, abs=1) and tiles[-1][1] == pytest.approx(right, abs=1)
        assert len({round(tile[3]) for tile in tiles}) == 1 and 120 < tiles[0][3] < 300


def test_back_and_reload_return_to_where_one_was(open_page):
    page = open_page(width=600, height=500)
    page.tab.mouse.wheel(0, 1500)
    page.tab.wait_for_function("() => scrollY > 1200")
    page.tab.wait_for_timeout(200)
    place = page.run("() => scrollY")
    page.search("purple")
    assert page.run("() => scrollY") == 0
    page.tab.go_back()
    page.tab.wait_for_function("() => document.querySelectorAll('.tile').length > 2")
    assert page.run("() => scrollY") == place and page.asks == "" and page.tab.input_value("#query") == ""
    page.tab.reload()
    page.settled()
    assert abs(page.run("() => scrollY") - place) < 3
    page.tab.go_forward()
    page.settled()
    assert page.tab.input_value("#query") == "purple" and set(page.names()) == PURPLE


def test_a_name_is_shown_as_it_is(open_page):
    page = open_page("/?q=purple")
    assert ODD in page.names()  # no part of it became an element
    assert page.run("() => document.querySelector('.tile b')") is None
    page.search('<img src=x onerror="alert(1)">')
    assert '“<img src=x onerror="alert(1)">”' in page.text("#browse")
