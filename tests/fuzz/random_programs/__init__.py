"""Random programs: small pieces of source code that torch and convcore must run with the same results."""
