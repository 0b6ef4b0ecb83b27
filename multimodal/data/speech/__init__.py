"""Recorded speech with texts, from the files on the disk to batches.

    samples.py       SpeechSample, SpeechSamples: what every reader gives
    read.py          `read_speech(source)`: which layout is it?
    tables.py        CSV, TSV, JSONL and Parquet tables; layouts.py: LibriSpeech, LJSpeech, Common Voice, .txt files
    split.py         a validation split, no speaker of which is trained on
    order.py         batches by seconds, resumable and shared among processes
    augment.py       random changes of training clips: speed, loudness, noise
    dataset.py       clips as waveforms and texts
    batches.py       the batches that speech tasks take
    data_modules.py  the LightningDataModules
    check.py         `check_speech(path)`: what is wrong with these data, before any training; inspect.py looks,
                     check_texts.py judges texts, check_report.py shows it
    transcripts.py   what was said and what was heard, from two files, for `multimodal wer`
    tones.py         a made language of tones, for tests and smoke runs

A newcomer reads samples.py, batches.py and data_modules.py.
"""
