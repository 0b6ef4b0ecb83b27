"""One library, index and server for all tests of the page; none of them writes to it. And the browser."""

from __future__ import annotations

import shutil

import pytest
from search.colour_embedder import ColourEmbedder
from web_library import Page, serving, write_library

from multimodal.search.index import ImageIndex

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    return write_library(tmp_path_factory.mktemp("web") / "photos")


@pytest.fixture(scope="session")
def index(library):
    index = ImageIndex(library.parent / "index", ColourEmbedder())
    index.sync(library, progress=False)
    return index


@pytest.fixture(scope="session")
def address(index):
    with serving(index) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on the PATH")
    with api.sync_playwright() as playwright:  # it makes a profile of its own, which goes with it
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def shared(browser):
    """A window's memory that most tests share: thumbnails need not be sent again for each of them."""
    context = browser.new_context(reduced_motion="reduce")
    yield context
    context.close()


@pytest.fixture
def open_page(browser, shared, address):
    """Opens the page in a new tab; afterwards nothing may have gone wrong or left the machine."""
    opened, own = [], []

    def open_page(path="/", *, width=1000, height=600, complaints=(), **options):
        context = browser.new_context(reduced_motion="reduce", **options) if options else shared
        own.extend([context] if options else [])
        page = Page(context, address, complaints)
        page.tab.set_viewport_size({"width": width, "height": height})
        opened.append(page)
        page.goto(path)
        return page

    yield open_page
    for page in opened:
        page.tab.close()
    for context in own:
        context.close()
    for page in opened:
        assert page.strange == [], "the page complained, or asked another machine"
