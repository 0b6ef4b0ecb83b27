"""Labelled images, and text: reading them, looking at them, splitting them, handing them to the trainer.

Images, from the files on the disk to batches:

    samples.py         Sample, Skipped, LabeledImages: what every reader gives
    read.py            `read_labeled_images(path)`: which layout is it?
    folders.py         class folders, with or without train/ and val/
    manifest.py        a CSV, TSV or JSONL table of paths and labels
    shards.py          uncompressed tar shards, read at random; `read_bytes` of any sample
    inspect.py         one threaded pass over the files: errors, sizes, colour modes, hashes, thumbnails
    duplicates.py      the same picture twice, byte for byte or saved again
    split.py           a stratified, seeded validation split that tears no group of duplicates
    check.py           `check(path)`: what is wrong with these data, before any training; check_report.py shows it
    augment.py         random changes of training images
    image_dataset.py   samples as pixels and targets
    image_data.py      the LightningDataModules

Text, from wherever it lies to batches:

    text_sources.py    `read_texts(source)`: files, folders, a column of a table, `datasets` objects, strings
    text_tables.py     rows of CSV, TSV, JSONL and Parquet, one after the other
    text_tokens.py     texts as a stream of ids in memory
    token_shards.py    the same on the disk, memory-mapped; token_writing.py: how it gets there, once
    text_rows.py       samples with labels, and the validation split; text_layouts.py: which file is which split
    text_readers.py    labelled texts, tagged words, translations; text_questions.py: questions and multiple choice
    noise.py           what self-supervised objectives do to ids; sentence_pairs.py: BERT's pairs
    text_batches.py    the batches that tasks take
    text_objectives.py collators of plain text; text_framing.py: special tokens around it; packing.py: packed rows
    text_task_batches.py  collators of labelled samples; question_windows.py: of questions on long texts
    text_data.py       the LightningDataModules; corpus_data.py: of a corpus named by its path
    made_text.py       small made-up sets for the small forms of recipes

For both:

    loader.py          an order that can be resumed; resumable.py: the data module around it
    download.py        checksummed downloads and safe unpacking, for the scripts data/*/prepare.py
    digits.py          scikit-learn's digits as a folder, for the demo

A newcomer reads samples.py, folders.py and check.py; for text, text_sources.py, text_rows.py and text_data.py.
"""
