"""Pictures, their index, and its page on a port of this machine, for the tests of the page."""

from __future__ import annotations

import shutil
import threading
import time
from contextlib import contextmanager

import uvicorn
from PIL import Image, ImageDraw
from search.colour_embedder import picture

from multimodal.web.app import make_app
from multimodal.web.server import listening

BASE = "http://127.0.0.1"
ODD = 'it\'s "purple" <b>&amp;.png'
PURPLE = {ODD, "purple small.png"}
CAMERAS = {2019: "X100", 2021: "X100", 2024: "Pixel 7"}


def write_library(root):
    """Photos of one colour each in folders of years, and what libraries have besides."""
    for year, camera in CAMERAS.items():
        (root / str(year) / "rome").mkdir(parents=True)
        for i, colour in enumerate(["red", "green", "blue", "yellow"] * 8):
            exif = Image.Exif()
            exif[0x010F], exif[0x0110], exif[0x0132] = "Maker", camera, f"{year}:{1 + i % 12:02}:15 10:00:00"
            if i == 0:
                exif.get_ifd(0x8825).update({1: "N", 2: (41.0, 54.0, 0.0), 3: "W", 4: (12.0, 30.0, 0.0)})
            place = root / str(year) / ("rome" if i % 2 else "")
            size = (120, 160) if i % 4 == 2 else (160, 120)
            picture(colour, 100 * year + i, size).save(place / f"{colour}-{year}-{i:02}.jpg", exif=exif, quality=90)
    purple = picture("purple", 1, (200, 200), noise=4)
    ImageDraw.Draw(purple).polygon([(20, 180), (60, 30), (190, 110)], "#7a2890")  # by which copies are told
    purple.save(root / ODD)
    picture("orange", 1, (300, 150)).save(root / "orange.tif")
    (root / "2024b").mkdir()
    shutil.copy(root / "2019" / "red-2019-00.jpg", root / "2024b" / "copy.jpg")
    with Image.open(root / ODD) as image:
        image.resize((100, 100), Image.Resampling.BICUBIC).save(root / "2024b" / "purple small.png")
    return root


@contextmanager
def serving(index):
    """The address of a server of `index` in a thread."""
    door = listening("127.0.0.1", 0)
    config = uvicorn.Config(make_app(index), log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([door],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{door.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    door.close()


def ask(client, status=200, **parameters):
    parameters = {name.rstrip("_"): value for name, value in parameters.items()}
    answer = client.get("/api/search", params=parameters)
    assert answer.status_code == status, answer.text
    return answer.json()


def names(answer):
    return [item["name"] for item in answer["items"]]


def id_of(index, name):
    (row,) = index.rows(f"name = '{name}'")
    return row.id


class Page:
    """A window of the browser that watches what the page complains of and where it asks."""

    def __init__(self, context, address, complaints):
        self.context, self.address = context, address
        self.strange = []
        self.tab = context.new_page()
        self.tab.set_default_timeout(8000)

        def told(message):
            if message.type in ("error", "warning") and not any(it in message.text for it in complaints):
                self.strange.append(message.text)

        def asked(request):
            if not request.url.startswith((address + "/", "data:", "blob:" + address)):
                self.strange.append(request.url)

        self.tab.on("console", told)
        self.tab.on("pageerror", lambda error: self.strange.append(str(error)))
        self.tab.on("request", asked)

    def goto(self, path):
        self.tab.goto(self.address + path)
        self.settled()

    def settled(self):
        """Wait until the page shows what its address asks for."""
        self.tab.wait_for_function(
            "() => document.querySelector('#foot span') && !document.body.classList.contains('stale')"
            " && !document.querySelector('#progress.on')"
        )

    def search(self, text):
        self.tab.fill("#query", text)
        self.tab.press("#query", "Enter")
        self.settled()

    def run(self, script, argument=None):
        return self.tab.evaluate(script, argument)

    def names(self):
        """Of the tiles in the document, in reading order."""
        return self.tab.locator(".tile .name").all_text_contents()

    def text(self, selector):
        return self.tab.locator(selector).first.inner_text()

    @property
    def asks(self):
        return self.run("() => location.search")
