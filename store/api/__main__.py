"""`python -m store.api` is `balsa store`."""

import sys

from store.api.main import main

sys.exit(main(sys.argv[1:]))
