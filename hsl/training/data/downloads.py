"""Files from the web: fetched once, resumed where they broke off, and used only with the right checksum."""

import hashlib
import http.client
import shutil
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from filelock import FileLock

from hsl.errors import DataError
from hsl.filesystems import settle

CHUNK = 1 << 20
TIMEOUT = 30
ATTEMPTS = 5
"""Attempts at each address to resume a download that breaks off."""


@dataclass(frozen=True)
class Archive:
    """A published file: its name on disk, its publisher's checksum (hexadecimal), addresses in order of preference."""

    name: str
    md5: str
    urls: tuple[str, ...]


def fetch(archive: Archive, folder: Path) -> Path:
    """The file in a folder, downloaded unless it is there; one process of a node at a time.

    An interrupted download is stored in the same folder (``.part``) and continued by the next call.

    Raises:
        DataError: If it cannot be downloaded, or a file of that name is another one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / archive.name
    with FileLock(f"{file}.lock"):
        if file.is_file():
            if (found := checksum(file)) != archive.md5:
                raise DataError(
                    f"{file} is damaged or another file: its MD5 is {found}, expected {archive.md5}; "
                    f"delete it, and it is downloaded again"
                )
            return file
        reasons = [reason for url in archive.urls if (reason := _attempt(url, archive, file)) is not None]
    if file.is_file():
        return file
    raise DataError(
        f"{archive.name} could not be downloaded ({'; '.join(reasons)}). Without a network: fetch it elsewhere "
        f"from {archive.urls[0]} (MD5 {archive.md5}) and put it into {folder}"
    )


def checksum(file: Path) -> str:
    """MD5 of a file, hexadecimal: published for these archives; it detects damage, not malice."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _attempt(url: str, archive: Archive, file: Path) -> str | None:
    """Download `file` from one address, unless it is there by now; the reason if that fails."""
    if file.is_file():
        return None
    part = file.with_name(f"{file.name}.part")
    print(f"downloading {url} to {file.parent}", file=sys.stderr)
    reason = ""
    for _ in range(ATTEMPTS):
        before = _size(part)
        try:
            _continue(url, part)
        except (OSError, http.client.HTTPException) as error:
            reason = f"{url}: {error}"
            if _size(part) == before:
                return reason
            continue  # something came, so the rest may come as well
        if checksum(part) == archive.md5:
            settle(part, file)
            return None
        part.unlink()
        reason = f"{url}: what came has another checksum"
        if before == 0:  # so it was not an old part that was wrong
            return reason
    return reason


def _continue(url: str, part: Path) -> None:
    """Fetch the bytes that `part` does not hold yet; all of them where the server does not send ranges."""
    there = _size(part)
    headers = {"User-Agent": "hsl", **({"Range": f"bytes={there}-"} if there else {})}
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:  # nothing is missing
            return
        raise
    mode = "ab" if answer.status == HTTPStatus.PARTIAL_CONTENT else "wb"
    with answer, part.open(mode) as file:
        shutil.copyfileobj(answer, file, CHUNK)
        if answer.length:  # bytes of its header that did not come
            raise http.client.IncompleteRead(b"", answer.length)


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0
