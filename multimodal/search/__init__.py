"""Search over one's own pictures: by words, by a picture, by a mixture; incremental, honest about what is not there.

`index.py` is the front door, `ImageIndex`. A folder of an index holds `index.json` (`manifest.py`) and LanceDB tables
(`table.py`; columns in `rows.py`).

Syncing: `scan.py` lists files, `known.py` says what the index has of them, `sync.py` finds what changed, has it read
(`reading.py`) and embedded (`embedder.py`), and commits it; `engines.py` says who reads and embeds: this process, or
Ray (`ray_engine.py`, `ray_worker.py`); `locks.py` keeps writers apart; `report.py` tells.
Searching: `query.py`, `where.py`, `snapshot.py` (one version in memory), `exact.py` (the best rows), `relevance.py`,
`prior.py` and `evidence.py` (which of them are meant), `looking.py` (all of it in order), `results.py`, `sheet.py`,
`thumbnails.py`. Around it: `duplicates.py`, `stats.py`, `exchange.py`, `migrate.py`, `forgetting.py`. `session.py` is
what an open index keeps.
"""

from multimodal.search.embedder import Embedder
from multimodal.search.index import ImageIndex
from multimodal.search.known import Skipped
from multimodal.search.migrate import MigrationReport
from multimodal.search.query import Query
from multimodal.search.ray_engine import RayConfig
from multimodal.search.report import SyncReport
from multimodal.search.results import Hit, Results
from multimodal.search.rows import COLUMNS, Row
from multimodal.search.stats import Stats

__all__ = [
    "COLUMNS",
    "Embedder",
    "Hit",
    "ImageIndex",
    "MigrationReport",
    "Query",
    "RayConfig",
    "Results",
    "Row",
    "Skipped",
    "Stats",
    "SyncReport",
]
