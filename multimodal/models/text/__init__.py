"""What the models of text share: texts on their way in, answers on their way out.

    input.py       strings to ids in batches of like length
    generation.py  `generate` and `stream`, with options.py; scoring.py: how likely a text is
    body.py        the body under a task's head; summary.py: one vector for a text
    answers.py     logits to labels and spans
    filling.py     words for masks

A newcomer reads input.py, then generation.py.
"""
