"""`python -m gdpkit` is `gdpkit`."""

import sys

from gdpkit.cli import main

if __name__ == "__main__":
    sys.exit(main())
