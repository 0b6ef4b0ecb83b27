"""The model folder: what training writes and `mm.load` reads; it can be moved and copied, and never holds a pickle.

    config.json         the model's class, config, labels, temperature and card; size and checksum of the weights
    model.safetensors   the weights
    README.md           the model card, for people

`folder.py` saves and loads; `header.py` is config.json, read strictly; `fit.py` compares tensors with a config;
`replacing.py` puts a whole folder in place at once; `card.py` writes README.md. Nothing of a folder is executed.
Published checkpoints of other projects are read by `hub.py`.
"""

from multimodal.checkpoint.folder import is_model_folder, load_folder, save

__all__ = ["is_model_folder", "load_folder", "save"]
