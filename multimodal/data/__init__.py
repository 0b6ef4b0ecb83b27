"""Data sets: reading them, looking at them, splitting them, handing them to the trainer.

`images/` are folders, tables and tar shards of labelled images; `text/` is everything written; `pairs/` are images with
captions; `speech/` are recordings with texts; `sounds/` recordings of other sounds, with labels or captions. For all:

    loader.py      an order of batches that can be resumed after any of them
    resumable.py   the data module around it
    check.py       what is wrong with data of either kind, before any training; its report: check_report.py
    download.py    checksummed downloads and safe unpacking, for the scripts data/*/prepare.py
"""
