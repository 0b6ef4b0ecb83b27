"""The addresses of the search page: the page itself, searches as JSON, thumbnails, files, uploads.

Everything is a plain function that Starlette runs in a thread, because searching and reading files block.
"""

from __future__ import annotations

import sys
import traceback
from functools import partial
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from multimodal.errors import ArgumentError, DataError
from multimodal.media import MediaError
from multimodal.search.index import ImageIndex
from multimodal.search.results import Results
from multimodal.search.rows import Row
from multimodal.web import shapes
from multimodal.web.asked import MOST_RESULTS, MOST_ROWS, Asked, asked_of, part_of
from multimodal.web.facets import facets
from multimodal.web.guard import Guard
from multimodal.web.originals import PREVIEW_SIDE, attachment, original_of, preview_of
from multimodal.web.recent import Recent
from multimodal.web.uploads import MAX_UPLOAD, Upload, Uploads

STATIC = Path(__file__).parent / "static"
_DECODERS = 2  # pictures that are decoded at a time: one of 200 megapixels takes 0.6 GB
_FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}
_STATUS = {ArgumentError: 400, DataError: 409, MediaError: 415}


def make_app(index: ImageIndex, host: str = "127.0.0.1") -> Guard:
    """The search page of `index` as an ASGI application that is bound to `host`."""
    page = _Page(index)
    routes = [
        Route("/", _home),
        Route("/api/about", page.about),
        Route("/api/search", page.search),
        Route("/api/duplicates", page.duplicates),
        Route("/api/picture/{id}", page.picture),
        Route("/api/upload", page.upload, methods=["POST"]),
        Route("/thumbnail/{id}", page.thumbnail),
        Route("/upload/{name}", page.uploaded),
        Route("/image/{id}", page.image),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    handlers: dict[Any, Any] = dict.fromkeys((*_STATUS, HTTPException), _sentence)
    return Guard(Starlette(routes=routes, exception_handlers={**handlers, Exception: _fault}), host)


class _Page:
    """What the addresses do."""

    def __init__(self, index: ImageIndex) -> None:
        self._index = index
        self._uploads = Uploads(index)
        self._searches: Recent[Results] = Recent()
        self._groups: Recent[list[list[Row]]] = Recent()
        self._decoders = CapacityLimiter(_DECODERS)

    def about(self, request: Request) -> Response:
        """Numbers of the index, and what it can be narrowed down by."""
        return JSONResponse({**shapes.numbers(self._index), "facets": facets(self._index)})

    def search(self, request: Request) -> Response:
        """Some of the results of a query, or without one of the pictures, newest first."""
        asked = asked_of(request.query_params, lambda name: self._uploads.get(name).data)
        if asked.query is None:
            total = self._index.count(asked.where)
            rows = self._index.rows(asked.where, offset=asked.offset, limit=asked.limit)
            answer = {"items": [shapes.tile(row) for row in rows], "found": total, "total": total, "nearest": None}
        else:
            results = self._searches.get(asked.key, partial(self._results, asked), fresh=asked.offset == 0)
            items = [shapes.hit(hit) for hit in results[asked.offset : asked.offset + asked.limit]]
            nearest = shapes.hit(results.nearest) if results.nearest else None
            answer = {"items": items, "found": len(results), "total": results.total, "nearest": nearest}
        return JSONResponse({**answer, "most": MOST_RESULTS if asked.query is not None else None})

    def duplicates(self, request: Request) -> Response:
        """Some of the groups of files that are the same picture."""
        kind = request.query_params.get("kind", "exact")
        offset, limit = part_of(request.query_params, MOST_ROWS)
        groups = self._groups.get(kind, partial(self._found, kind), fresh=offset == 0)
        spare = sum(sum(row.bytes for row in group) - max(row.bytes for row in group) for group in groups)
        return JSONResponse(
            {
                "groups": [[shapes.details(row) for row in group] for group in groups[offset : offset + limit]],
                "found": len(groups),
                "spare_files": sum(len(group) - 1 for group in groups),
                "spare_bytes": spare,
            }
        )

    def picture(self, request: Request) -> Response:
        """Everything that is known of a picture."""
        return JSONResponse(shapes.details(self._row(request)))

    def thumbnail(self, request: Request) -> Response:
        """A small JPEG of a picture."""
        row = self._row(request)
        return Response(self._index.thumbnail(row), media_type="image/jpeg", headers=_kept(request, row))

    def uploaded(self, request: Request) -> Response:
        """A small JPEG of a picture that was uploaded."""
        try:
            found = self._uploads.get(request.path_params["name"])
        except ArgumentError as error:
            raise HTTPException(404, str(error)) from error
        return Response(found.jpeg, media_type="image/jpeg", headers=_FOREVER)

    async def image(self, request: Request) -> Response:
        """The file of a picture; with `?side=640` smaller; with `?download=1` as it is, to be saved."""
        row = await to_thread.run_sync(self._row, request)
        if request.query_params.get("side") == str(PREVIEW_SIDE):
            data = await to_thread.run_sync(preview_of, self._index, row, limiter=self._decoders)
            return Response(data, media_type="image/jpeg", headers=_kept(request, row))
        saved = request.query_params.get("download") == "1"
        work = partial(original_of, self._index, row, convert=not saved)
        found = await to_thread.run_sync(work, limiter=self._decoders)
        headers = {"ETag": f'"{found.tag}"', "Cache-Control": "private, no-cache"}
        if request.headers.get("if-none-match") == headers["ETag"]:
            found.stream.close()
            return Response(status_code=304, headers=headers)
        headers["Content-Length"] = str(found.size)
        if saved:
            headers["Content-Disposition"] = attachment(row)
        return StreamingResponse(found.blocks(), media_type=found.kind, headers=headers)

    async def upload(self, request: Request) -> Response:
        """Take the bytes of a picture to search with; its name."""
        data = await _body(request)
        found: Upload = await to_thread.run_sync(self._uploads.add, data, limiter=self._decoders)
        return JSONResponse({"name": found.name, "width": found.width, "height": found.height})

    def _results(self, asked: Asked) -> Results:
        return self._index.search(asked.query, MOST_RESULTS, where=asked.where, all=asked.all)

    def _found(self, kind: Any) -> list[list[Row]]:
        return shapes.group_rows(self._index, self._index.duplicates(kind))

    def _row(self, request: Request) -> Row:
        try:
            return self._index.row(request.path_params["id"])
        except ArgumentError as error:
            raise HTTPException(404, "This picture is not in the index any more.") from error


def _kept(request: Request, row: Row) -> dict[str, str]:
    """Headers of what the browser may keep, if its address names the version of the picture."""
    return _FOREVER if request.query_params.get("v") == row.hash[:12] else {}


async def _home(request: Request) -> Response:
    return FileResponse(STATIC / "index.html")


async def _body(request: Request) -> bytes:
    """What was sent, of at most `MAX_UPLOAD` bytes."""
    too_large = HTTPException(413, f"The picture has more than {MAX_UPLOAD >> 20} MB; search with a smaller one.")
    length = request.headers.get("content-length", "0")
    if length.isascii() and length.isdigit() and int(length) > MAX_UPLOAD:
        raise too_large
    found = bytearray()
    try:
        async for block in request.stream():
            found += block
            if len(found) > MAX_UPLOAD:
                raise too_large
    except ClientDisconnect as error:
        raise HTTPException(400, "The picture did not arrive as a whole.") from error
    return bytes(found)


async def _sentence(request: Request, error: Exception) -> Response:
    """An error that a person can mend, as JSON."""
    if isinstance(error, HTTPException):
        sentence = error.detail if error.detail.endswith(".") else f"{error.detail}."
        return JSONResponse({"error": sentence}, error.status_code, headers=error.headers)
    status = next(status for kind, status in _STATUS.items() if isinstance(error, kind))
    return JSONResponse({"error": str(error)}, status)


async def _fault(request: Request, error: Exception) -> Response:
    """A fault of ours: its traceback goes to the terminal, not to the page."""
    print("".join(traceback.format_exception(error)), file=sys.stderr)
    return JSONResponse({"error": "Something went wrong in the server; its terminal shows what."}, 500)
