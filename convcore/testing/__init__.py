"""Checks for authors of operations: gradients against finite differences, and values with a tolerance."""

from convcore.testing.compare import assert_close
from convcore.testing.gradcheck import GradcheckError, gradcheck, gradgradcheck

__all__ = ["GradcheckError", "assert_close", "gradcheck", "gradgradcheck"]
