"""Raw modality to `Tokens`: images, text, and the transforms that bring files into the form they expect.

    tokens.py             `Tokens`: what the backbone takes
    image.py              pixels to tokens; image_transform.py: pictures to pixels, image_batches.py: many of them
    text.py               text to ids and back; chat.py: conversations; text_training.py: vocabularies from text
    text_files.py         the files of other programs; text_json.py, text_ranks.py, text_sentencepiece.py: their formats
    text_cleaning.py      what is done to a text first, where a model wants it (CLIP, SigLIP)
    text_embedding.py     ids to tokens

A newcomer reads tokens.py, then image.py or text.py.
"""
