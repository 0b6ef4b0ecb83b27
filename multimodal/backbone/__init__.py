"""The shared transformer. Read `attention.py`, `block.py`, `backbone.py`, in this order; the rest are their parts."""
