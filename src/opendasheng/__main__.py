"""``python -m opendasheng`` is the command ``opendasheng``."""

import sys

from opendasheng.cli import main

if __name__ == "__main__":
    sys.exit(main())
