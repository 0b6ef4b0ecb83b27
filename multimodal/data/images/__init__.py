"""Labelled images, from the files on the disk to batches.

    samples.py       Sample, Skipped, LabeledImages: what every reader gives
    read.py          `read_labeled_images(path)`: which layout is it?
    folders.py       class folders, with or without train/ and val/
    manifest.py      a CSV, TSV or JSONL table of paths and labels
    shards.py        uncompressed tar shards, read at random; `read_bytes` of any sample
    inspect.py       one threaded pass over the files: errors, sizes, colour modes, hashes, thumbnails
    duplicates.py    the same picture twice, byte for byte or saved again
    split.py         a stratified, seeded validation split that tears no group of duplicates
    check.py         `check(path)`: what is wrong with these data, before any training; check_report.py shows it
    augment.py       random changes of training images
    dataset.py       samples as pixels and targets
    data_modules.py  the LightningDataModules
    digits.py        scikit-learn's digits as a folder, for the demo

A newcomer reads samples.py, folders.py and check.py.
"""
