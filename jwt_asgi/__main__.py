"""`python -m jwt_asgi`: the command line."""

import sys

from jwt_asgi.cli import main

if __name__ == "__main__":
    sys.exit(main())
