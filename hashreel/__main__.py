"""``python -m hashreel``."""

from hashreel.cli import main

if __name__ == "__main__":
    main()
