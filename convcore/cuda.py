"""Answers for programs that ask whether there is a GPU: none that convcore uses."""


def is_available() -> bool:
    """False: convcore computes on the CPU."""
    return False


def device_count() -> int:
    """0: convcore computes on the CPU."""
    return 0
