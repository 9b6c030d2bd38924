"""Small programs that train beyond images; each runs with `python -m convcore.examples.<name>`."""
