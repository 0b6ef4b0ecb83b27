"""From recordings to texts with times: what `SpeechRecognizer.transcribe` and `CtcRecognizer.transcribe` do.

    transcription.py      Whisper: recordings to texts; plan.py: what is asked for; stream.py: files to windows
    sequential.py         one window after the other, as openai-whisper; batched.py: many at a time, verified
    decoding.py           one window to its text: drawing.py, beams.py, under rules.py; fallback.py: again, more freely
    words.py              the time of each word, by alignment.py; aligned.py: put into segments
    ctc.py                the same for models with one token a frame
    result.py             what comes of it; formats.py: as subtitles, a table, JSON

A newcomer reads transcription.py, then sequential.py.
"""
