"""`python -m multimodal`: the same as the `multimodal` command."""

import sys

from multimodal.cli import main

if __name__ == "__main__":
    sys.exit(main())
