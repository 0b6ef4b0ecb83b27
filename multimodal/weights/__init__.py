"""Published weights in, and out again: `keymap.py` is the engine, each other file the table of one source."""
