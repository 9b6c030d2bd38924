"""The subcommands of `convcore`, one file each, with `add_parser(subparsers)` and `run(args)`.

What several of them share is in the folder above.
"""
