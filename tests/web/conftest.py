"""One library, index and server for all tests of the page; none of them writes to it."""

from __future__ import annotations

import pytest
from search.colour_embedder import ColourEmbedder
from web_library import serving, write_library

from multimodal.search.index import ImageIndex


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
