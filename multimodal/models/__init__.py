"""Whole models: nn.Modules with the methods that people call; no training here.

    classifier.py         images to labels, over image_encoder.py; explain.py: where it looked
    language_model.py     text that goes on: GPT, Llama
    text_encoder.py       text to vectors, hidden words: BERT; text_heads.py: with a task's head
    encoder_decoder.py    text to other text: T5, BART, Marian

The other `text_*.py` hold what these share: texts on their way in, answers on their way out; `timm_*.py` read timm's
models as configs. A newcomer reads classifier.py or language_model.py.
"""
