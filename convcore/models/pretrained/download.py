"""Downloading a weights file. It appears under its name only when it is complete and its checksum is right.

A partial download is kept beside it with the suffix ".part", and the next call resumes it.
"""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from convcore.errors import CheckpointError

_CHUNK = 1 << 20
_TIMEOUT = 30  # seconds without a byte


def download(url: str, path: Path, hash_prefix: str, progress: bool = True) -> Path:
    """Download `url` to `path`.

    Args:
        hash_prefix: the first hexadecimal digits of the file's SHA-256.
        progress: whether to show a bar on stderr.

    Raises:
        CheckpointError: the network fails, or the checksum is wrong; then the download is discarded.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    digest = hashlib.sha256()
    try:
        _fetch(url, part, digest, progress)
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        kept = f"; {part.stat().st_size:,} bytes are kept for the next try" if part.is_file() else ""
        raise CheckpointError(f"download: {url}: {reason}{kept}") from None
    found = digest.hexdigest()
    if not found.startswith(hash_prefix):
        part.unlink()
        raise CheckpointError(f"download: {url}: SHA-256 must begin with {hash_prefix}, got {found}; nothing is kept")
    os.replace(part, path)
    return path


def _fetch(url: str, part: Path, digest: hashlib._Hash, progress: bool) -> None:
    """Complete the file `part` and add all its bytes to the digest."""
    with open(part, "ab") as file:
        have = file.tell()
        request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
        try:
            response = urllib.request.urlopen(request, timeout=_TIMEOUT)
        except urllib.error.HTTPError as error:
            error.close()
            if not (have and error.code == 416):  # no bytes beyond those present: the file is complete
                raise
            _add_file(part, digest)
            return
        with response:
            if have and response.status != 206:  # the server cannot resume and starts again
                file.truncate(0)
                have = 0
            _add_file(part, digest)
            length = response.headers.get("Content-Length")
            total = have + int(length) if length else None
            with tqdm(
                total=total, initial=have, unit="B", unit_scale=True, desc=part.stem, disable=not progress
            ) as bar:
                while chunk := response.read(_CHUNK):
                    file.write(chunk)
                    digest.update(chunk)
                    bar.update(len(chunk))
                    have += len(chunk)
            if total is not None and have < total:
                raise ConnectionError(f"the connection ended after {have:,} of {total:,} bytes")


def _add_file(path: Path, digest: hashlib._Hash) -> None:
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
