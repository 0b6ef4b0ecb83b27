"""Conversations about images and recordings: from messages and files to what a model reads, and back to answers.

    messages.py      what people and data give; layout.py: the text and the ids that a model reads
    views.py         files to pictures, tiles.py: several of a large image
    answers.py       questions to answers, in batches; memory.py: what was read once and serves again
    conversation.py  a talk of several turns

A newcomer reads messages.py, then answers.py.
"""
