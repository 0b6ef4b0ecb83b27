"""Images, or recordings, with captions, from the files on the disk to batches.

    samples.py       Pair, PairedImages: what every reader gives
    read.py          `read_pairs(source)`: which layout is it?
    tables.py        CSV, TSV, JSONL and Parquet tables; shards.py: tar shards; folders.py: a .txt beside each image
    split.py         a validation split, no image of which is trained on
    dataset.py       pairs as pixels and captions
    batches.py       the batches that contrastive tasks take, for training and for retrieval
    data_modules.py  the LightningDataModules
    scenes.py        drawn scenes with captions as a folder; scene_parts.py: what is in them and what is kept for
                     testing, scene_words.py: their captions, scene_drawing.py: their pictures

A newcomer reads samples.py, batches.py and data_modules.py.
"""
