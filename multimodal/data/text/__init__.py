"""Text, from wherever it lies to batches.

    sources.py         `read_texts(source)`: files, folders, a column of a table, `datasets` objects, strings
    tables.py          rows of CSV, TSV, JSONL and Parquet, one after the other
    tokens.py          texts as a stream of ids in memory
    token_shards.py    the same on the disk, memory-mapped; token_writing.py: how it gets there, once
    rows.py            samples with labels, and the validation split; layouts.py: which file is which split
    readers.py         labelled texts, tagged words, translations; questions.py: questions and multiple choice
    noise.py           what self-supervised objectives do to ids; sentence_pairs.py: BERT's pairs
    batches.py         the batches that tasks take
    objectives.py      collators of plain text; framing.py: special tokens around it; packing.py: packed rows
    task_batches.py    collators of labelled samples; question_windows.py: of questions on long texts
    data_modules.py    the LightningDataModules; corpus_data.py, masked_data.py, task_data.py, question_data.py: those
                       of one corpus, of masked words, of labelled samples and of questions, named by their path
    made.py            small made-up sets for the small forms of recipes

A newcomer reads sources.py, rows.py and data_modules.py.
"""
