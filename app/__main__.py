"""`python -m app` is `concord`."""

from app.cli import main

main()
