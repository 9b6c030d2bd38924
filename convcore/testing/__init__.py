"""Checks for those who write operations: of gradients against finite differences, of values with a tolerance."""

from convcore.testing.compare import assert_close
from convcore.testing.gradcheck import GradcheckError, gradcheck, gradgradcheck

__all__ = ["GradcheckError", "assert_close", "gradcheck", "gradgradcheck"]
