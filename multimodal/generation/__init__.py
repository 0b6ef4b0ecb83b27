"""Tokens after tokens: greedy, sampling, beam search and speculative decoding over anything that has a cache.

`decoding.py` has `generate` and `stream`, which take a `Continuation`: a model that has read its prompts.
"""
