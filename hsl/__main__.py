"""``python -m hsl`` is ``hsl``."""

from hsl.cli import main

if __name__ == "__main__":
    main()
