"""Small programs that train; each runs with `python -m convcore.examples.<name>`."""
