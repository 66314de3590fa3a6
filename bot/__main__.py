"""`python -m bot`: always from the project's root, because the top-level package names are generic."""

from bot.cli import main

if __name__ == "__main__":
    main()
