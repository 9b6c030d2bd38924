"""Small training programs; run one with `python -m convcore.examples.<name>`."""
