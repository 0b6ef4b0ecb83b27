"""The search page: a small server on this machine, and the page that it hands out.

`server.py`: a free port, the browser, Ctrl-C. `app.py`: the addresses. `guard.py`: who may ask, and what the browser is
told. `asked.py`: parameters of an address to a query. `shapes.py`: rows and results as JSON. `facets.py`: what the
pictures can be narrowed down by. `originals.py`: files of the index and nothing else. `uploads.py`: pictures that were
dropped on the page. `static/`: the page itself, plain HTML, CSS and JavaScript that loads nothing from elsewhere.

Not here: searching (`search/`). Nothing here writes to the index.
"""

from multimodal.web.app import make_app
from multimodal.web.server import serve

__all__ = ["make_app", "serve"]
