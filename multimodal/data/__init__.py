"""Data sets: reading them, looking at them, splitting them, handing them to the trainer.

`images/` are folders, tables and tar shards of labelled images; `text/` is everything written; `pairs/` are images with
captions. For all:

    loader.py      an order of batches that can be resumed after any of them
    resumable.py   the data module around it
    download.py    checksummed downloads and safe unpacking, for the scripts data/*/prepare.py
"""
