"""Tokens after tokens: greedy, sampling, beam search and speculative decoding over anything that has a cache."""
