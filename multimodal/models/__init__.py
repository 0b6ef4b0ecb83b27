"""Whole models: nn.Modules with the methods that people call; no training here.

    classifier.py         images or sounds to labels, over image_encoder.py, audio_encoder.py; explain.py: why
    dual_encoder.py       images or sounds beside texts: CLIP, over towers.py
    language_model.py     text that goes on: GPT, Llama
    text_encoder.py       text to vectors, hidden words: BERT; text_heads.py: with a task's head
    encoder_decoder.py    text to other text: T5, BART, Marian
    speech_recognizer.py  recordings to text: Whisper; ctc_recognizer.py: with one token a frame
    vision_language.py    images or sounds into a language model: LLaVA, over features.py and projector.py; joining.py
                          makes one of two trained models
    perceiver.py          many tokens to few: an image encoder of its own (perceiver_encoder.py), or answers to queries
                          (perceiver_io.py)

What they are made of has rooms of its own: text/ (in and out of models of text), speech/ (from recordings to texts with
times), chat/ (conversations about images). `timm_*.py` and open_clip_towers.py read other libraries' models. A newcomer
reads classifier.py or language_model.py.
"""
