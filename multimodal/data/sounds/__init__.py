"""Labelled recordings, from the files on the disk to batches of spectrograms: what images have no use for.

    augment.py       random changes of training clips: of the waveform, of its tempo and its place
    data_modules.py  the LightningDataModule
    measure.py       mean and deviation of the features

Layouts, splits, datasets and batches are those of `data/images/`, recordings with captions those of `data/pairs/`;
recordings of what was said are in `data/speech/`.
"""
