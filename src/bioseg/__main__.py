"""``python -m bioseg`` is ``bioseg``."""

from bioseg.cli import main

if __name__ == "__main__":
    main()
