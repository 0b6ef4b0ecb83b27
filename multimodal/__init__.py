"""Images, speech and text through one shared transformer backbone: load, fine-tune, search, train.

    import multimodal as mm
    mm.check("photos/")  # what is wrong with a folder of images, before any training
    run = mm.finetune("photos/", model="timm:vit_small_patch16_224.augreg_in21k", out="runs/photos")
    mm.load("runs/photos/model").predict(["new.jpg"])
    index = mm.ImageIndex("photos.index", model="open_clip:ViT-B-32/openai"); index.sync("photos/")
    index.search("a dog on a beach")
    mm.load("hf:openai-community/gpt2").generate("Once upon a time", max_new_tokens=50)
    mm.load("hf:openai/whisper-base").transcribe("interview.mp3").text

The map; imports only point up it:

    errors.py  progress.py           errors a person can mend; a progress bar
    config.py                        frozen configs and their JSON
    media/                           image and sound files -> pictures and waveforms, safely
    losses/  metrics/                pure functions: what is trained for, what is reported
    weights/                         published checkpoints: one table of names per source, strict and invertible
    backbone/                        the transformer: norm, mask, position, cache, attention, MLP, block, stack, LoRA
    tokenizers/                      raw modality -> vectors
    generation/                      greedy, sampling, beams, speculation over anything that has a cache
    models/                          tokenizer + backbone + head, as plain `nn.Module`s
    presets/                         named sizes, each with the table that it is from
    checkpoint/  hub/                the model folder; `load` from one or by a published name
    data/                            folders, tables and shards of images, texts, recordings -> samples; `check`
    tasks/                           one LightningModule per objective
    finetuning/                      a folder in, a trained classifier and its report out
    search/                          a folder of photos, found by words and by pictures
    web/                             the search page: a local server, HTML and scripts
    cli/                             the `multimodal` command: one short file per subcommand

Axes, wherever vectors are: b batch · n examples · t query length · s key length · d model width · h heads ·
g key/value heads · k head width · f hidden width · e feature width · c classes, or channels of an image · H, W pixels.
Of sound: n samples · m mel channels · t frames · s tokens that the encoder makes of them.
Where there are images and no heads, h, w are rows and columns. Each file names the axes that it uses.

Names are imported on first use, because torch and its kin take seconds: `import multimodal` alone takes none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from multimodal.errors import nearest

if TYPE_CHECKING:
    from multimodal.checkpoint import save
    from multimodal.data.check import check
    from multimodal.finetuning import finetune
    from multimodal.hub import load
    from multimodal.models.classifier import Classifier
    from multimodal.models.ctc_recognizer import CtcRecognizer
    from multimodal.models.dual_encoder import DualEncoder
    from multimodal.models.encoder_decoder import EncoderDecoder
    from multimodal.models.language_model import LanguageModel
    from multimodal.models.speech_recognizer import SpeechRecognizer
    from multimodal.models.text_encoder import TextEncoder
    from multimodal.models.text_heads import MultipleChoice, QuestionAnswerer, TextClassifier, TokenTagger
    from multimodal.models.vision_language import VisionLanguageModel
    from multimodal.search import ImageIndex, Query

__version__ = "0.1.0"

__all__ = [
    "Classifier",
    "CtcRecognizer",
    "DualEncoder",
    "EncoderDecoder",
    "ImageIndex",
    "LanguageModel",
    "MultipleChoice",
    "Query",
    "QuestionAnswerer",
    "SpeechRecognizer",
    "TextClassifier",
    "TextEncoder",
    "TokenTagger",
    "VisionLanguageModel",
    "check",
    "finetune",
    "load",
    "save",
]

_HOMES = {  # no public name is that of a file or folder here: importing that would put it in the name's place
    "Classifier": "multimodal.models.classifier",
    "CtcRecognizer": "multimodal.models.ctc_recognizer",
    "DualEncoder": "multimodal.models.dual_encoder",
    "EncoderDecoder": "multimodal.models.encoder_decoder",
    "ImageIndex": "multimodal.search",
    "LanguageModel": "multimodal.models.language_model",
    "MultipleChoice": "multimodal.models.text_heads",
    "Query": "multimodal.search",
    "QuestionAnswerer": "multimodal.models.text_heads",
    "SpeechRecognizer": "multimodal.models.speech_recognizer",
    "TextClassifier": "multimodal.models.text_heads",
    "TextEncoder": "multimodal.models.text_encoder",
    "TokenTagger": "multimodal.models.text_heads",
    "VisionLanguageModel": "multimodal.models.vision_language",
    "check": "multimodal.data.check",
    "finetune": "multimodal.finetuning",
    "load": "multimodal.hub",
    "save": "multimodal.checkpoint",
}


def __getattr__(name: str) -> Any:
    """The public name `name`, from the file that it lives in."""
    if name not in _HOMES:
        # Naming `name` but no object keeps Python from adding a second suggestion to the traceback.
        raise AttributeError(f"module 'multimodal' has no attribute {name!r}.{nearest(name, __all__)}", name=name)
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
