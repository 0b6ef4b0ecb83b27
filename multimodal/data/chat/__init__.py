"""Conversations about images or recordings, from the files on the disk to batches.

    samples.py       ChatSample, ChatSamples: what every reader gives
    read.py          `read_chats(source)`: which layout is it? files.py: which files hold conversations; rows.py: one
                     row of LLaVA's JSON or of messages
    split.py         a validation split, no image of which is trained on
    targets.py       the ids of a conversation, and which of them the assistant says
    prepared.py      a split made ready for a model, once for all epochs
    dataset.py       conversations as ids and pictures
    batches.py       the batches that training takes
    data_modules.py  the LightningDataModules
    check.py         `check_chat(path, model=...)`: what is wrong with these data, before any training;
                     check_report.py shows it
    evaluate.py      `evaluate_chat(model, ...)`: how well a model answers, and how well without looking; questions.py:
                     conversations as questions, asking.py: their answers, evaluation.py shows them
    scene_questions.py  questions about drawn scenes

A newcomer reads samples.py, targets.py and data_modules.py.
"""
