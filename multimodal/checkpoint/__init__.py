"""The model folder: what training writes and `mm.load` reads; it can be moved and copied, and never holds a pickle.

    config.json              the model's class, config, labels, temperature and card; checksums of the other files
    model.safetensors        the weights, shared ones once
    tokenizer.json           where there is text: the vocabulary, as the `tokenizers` library writes it
    tokenizer_config.json    its special tokens, longest input and chat template
    README.md                the model card, for people

`folder.py` saves and loads; `kinds.py` lists the models that it knows; `header.py` is config.json, read strictly, and
`files.py` what has checksums there; `fit.py` compares tensors with a config; `replacing.py` puts a whole folder in
place at once; `card.py` and the other files `card_*.py` write README.md. Nothing of a folder is executed. Published
checkpoints of other projects are read by `hub`, and so are parts of models, which need a base (`hub/parts.py`).
"""

from multimodal.checkpoint.folder import is_model_folder, load_folder, save
from multimodal.checkpoint.kinds import AnyModel, build, rebuilt

__all__ = ["AnyModel", "build", "is_model_folder", "load_folder", "rebuilt", "save"]
