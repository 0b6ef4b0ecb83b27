"""Labelled images: reading them, looking at them, splitting them.

    samples.py     Sample, Skipped, LabeledImages: what every reader gives
    read.py        `read_labeled_images(path)`: which layout is it?
    folders.py     class folders, with or without train/ and val/
    manifest.py    a CSV, TSV or JSONL table of paths and labels
    shards.py      uncompressed tar shards, read at random; `read_bytes` of any sample
    inspect.py     one threaded pass over the files: errors, sizes, colour modes, hashes, thumbnails
    duplicates.py  the same picture twice, byte for byte or saved again
    split.py       a stratified, seeded validation split that tears no group of duplicates
    check.py       `check(path)`: what is wrong with these data, before any training; check_report.py shows it
    progress.py    the progress bar
    download.py    checksummed downloads and safe unpacking, for the scripts that prepare public sets

Nothing here trains or imports Lightning.
"""
