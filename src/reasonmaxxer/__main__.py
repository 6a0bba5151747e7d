"""`python -m reasonmaxxer`."""

from reasonmaxxer.cli import main

if __name__ == "__main__":
    main()
