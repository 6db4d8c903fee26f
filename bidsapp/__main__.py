"""``python -m bidsapp`` is the ``centipet`` command."""

import sys

from bidsapp.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
