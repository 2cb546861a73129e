"""``python -m bioseg`` is ``bioseg``."""

from bioseg.cli import main

main()
