"""Small programs beyond images, each run with `python -m convcore.examples.NAME`."""
