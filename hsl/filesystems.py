"""Where files lie: a local path, or an object store by its URI. One way to open them, patient with outages.

Credentials come from the environment alone. A URI stands in files, logs and process lists, so one that holds
credentials is refused. What a URI may say after its ``?`` is listed in `OPTIONS`.
"""

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit
from uuid import uuid4

import pyarrow as pa
from pyarrow import fs

from hsl.errors import StoreError, close_match
from hsl.provenance import redact

S3_ATTEMPTS = 12
"""Waits between attempts double up to 20 s, at random: two minutes in all, of which one would be unusually little."""

GCS_RETRY_SECONDS = 120
CONNECT_SECONDS, REQUEST_SECONDS = 5.0, 30.0
"""A connection that says nothing for so long is given up, and the request repeated."""

WHERE = (
    "a local path, s3://BUCKET/PATH, gs://BUCKET/PATH or abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH"
)

OPTIONS = {
    "s3": ("endpoint_override", "region", "scheme", "anonymous", "allow_bucket_creation"),
    "gs": ("endpoint_override", "scheme", "anonymous", "project_id"),
    "abfs": ("scheme", "blob_storage_authority", "dfs_storage_authority"),
    "file": (),
}
"""What may follow the ``?`` of a URI, by scheme."""

VARIABLES = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile or a role of the machine",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or a service account of the machine",
    "abfs": "AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, or AZURE_CLIENT_ID and its like, or a managed identity",
}
"""Where credentials are taken from instead."""

_SAME = {"gcs": "gs", "abfss": "abfs"}
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""Environment variables that name a server of S3 other than that of AWS."""

_AZURE_KEYS = {"account_key": "AZURE_STORAGE_KEY", "sas_token": "AZURE_STORAGE_SAS_TOKEN"}
_CREDENTIAL = re.compile(r"(?i)sig|s[ptvre]|spr|.*(secret|token|key|passw|credential|signature).*")
"""Names of options that hold credentials, those of the signatures of Azure and S3 among them."""

UNREACHABLE = (OSError, pa.ArrowException)
"""What a file system raises that cannot be used now; that of Azure does not keep to the former."""

TEMPORARY = ".tmp-"
"""How the name of a file or folder begins that is being written."""


def open_filesystem(uri: str) -> tuple[fs.FileSystem, str]:
    """The file system that `uri` names, and the path on it.

    Args:
        uri: Local path, ``file://``, or ``s3://``, ``gs://``, ``abfs://`` with the options in `OPTIONS`.

    Raises:
        StoreError: If it is none of these, holds credentials, or cannot be opened.
    """
    if "://" not in uri:
        return fs.LocalFileSystem(), str(Path(uri).expanduser().absolute())
    parts = urlsplit(uri, allow_fragments=False)
    scheme = _SAME.get(parts.scheme, parts.scheme)
    options = _checked_options(uri, scheme, parts)
    path = unquote(parts.path)
    try:
        if scheme == "file":
            return fs.LocalFileSystem(), path.rstrip("/")
        if not parts.netloc:
            raise ValueError("no bucket or container")
        filesystem = _connect(scheme, parts.netloc, tuple(options.items()), _environment())
    except (*UNREACHABLE, ValueError, RuntimeError) as error:
        raise StoreError(f"{_shown(uri)!r}: {redact(str(error))}; give {WHERE}") from error
    return filesystem, f"{parts.netloc.partition('@')[0]}{path}".rstrip("/")


def join(uri: str, *names: str) -> str:
    """The path or URI of something below `uri`; what follows its ``?`` stays behind the path."""
    place, options = _split(uri)
    return "/".join((place.rstrip("/"), *names)) + options


def with_suffix(uri: str, suffix: str) -> str:
    """The path or URI whose name has `suffix` added."""
    place, options = _split(uri)
    return place + suffix + options


def absolute(uri: str) -> str:
    """`uri` as another process finds it: independent of the working directory, and of looking up its region."""
    if "://" not in uri:
        return str(Path(uri).expanduser().absolute())
    filesystem, path = open_filesystem(uri)
    if isinstance(filesystem, fs.LocalFileSystem):
        return path
    if not isinstance(filesystem, fs.S3FileSystem) or "region=" in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}region={filesystem.region}"


def exists(uri: str) -> bool:
    """Whether there is a file or folder at a path or URI.

    Raises:
        OSError: If that cannot be found out.
    """
    filesystem, path = open_filesystem(uri)
    return bool(filesystem.get_file_info(path).type != fs.FileType.NotFound)


def place(uri: str, content: bytes | pa.Buffer) -> None:
    """Make `content` the file at `uri` at once: readers find the old file or the whole new one, also after a power cut.

    Args:
        uri: Path or URI of the file.
        content: What it shall hold.

    Raises:
        OSError: If it cannot be written; the old file is there then.
    """
    place_on(*open_filesystem(uri), content)


def place_on(filesystem: fs.FileSystem, path: str, content: bytes | pa.Buffer) -> None:
    """`place` on a file system that is open already: by a rename, or by the single put of an object store."""
    if isinstance(filesystem, fs.LocalFileSystem):
        with placed(Path(path)) as scratch:
            scratch.write_bytes(content)
        return
    with filesystem.open_output_stream(path) as stream:
        stream.write(content)


@contextlib.contextmanager
def placed(target: Path) -> Iterator[Path]:
    """Make a file or folder of the local disk in a place beside `target`, which it takes at the end of the context.

    Everything is on the disk before the name is, and the name is on the disk before the context ends. A folder
    takes the place of no other: remove that before. After an error nothing is left.

    Args:
        target: Where it shall be; its folder is made where there is none.

    Yields:
        Where to write: a name that does not exist yet, with the suffix of `target`.
    """
    _make_folder(target.parent)
    scratch = target.with_name(f"{TEMPORARY}{uuid4().hex}{target.suffix}")
    try:
        yield scratch
        settle(scratch, target)
    finally:
        if scratch.is_dir():
            shutil.rmtree(scratch, ignore_errors=True)
        else:
            scratch.unlink(missing_ok=True)


def settle(scratch: Path, target: Path) -> None:
    """Rename a local file or folder that is complete: its content is on the disk before, its name afterwards."""
    for folder, _, files in os.walk(scratch):
        for name in files:
            _sync(Path(folder, name))
        _sync(Path(folder))
    if scratch.is_file():
        _sync(scratch)
    scratch.replace(target)
    _sync(target.parent)


def _make_folder(folder: Path) -> None:
    """Make `folder` and those above it; the names of new ones are on the disk then."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)


def _sync(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:  # file systems that know no syncing of folders
            raise
    finally:
        os.close(handle)


def _split(uri: str) -> tuple[str, str]:
    """What stands before the ``?`` of a URI, and the rest; a local path has no rest."""
    place, mark, options = uri.partition("?") if "://" in uri else (uri, "", "")
    return place, mark + options


def without_options(uri: str) -> str:
    """A path or URI up to its ``?``: where something is, however it is reached."""
    return _split(uri)[0]


def _shown(uri: str) -> str:
    return redact(without_options(uri))


def _checked_options(uri: str, scheme: str, parts: SplitResult) -> dict[str, str]:
    """The options of a URI, after a look at all of it.

    Raises:
        StoreError: If there is anything in it that is not known, or secret.
    """
    if scheme not in OPTIONS:
        raise StoreError(f"{_shown(uri)!r}: no such kind of file system is known; give {WHERE}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = [name for name in options if name not in OPTIONS[scheme]]
    told = [*filter(_CREDENTIAL.fullmatch, unknown), *(value for value in options.values() if "@" in value)]
    if scheme != "file" and (_holds_login(scheme, parts) or told):
        raise StoreError(
            f"{scheme}://***: the URI holds credentials, which would end up in files, logs and process lists; "
            f"give {WHERE}, and in the environment {VARIABLES[scheme]}"
        )
    if unknown:
        known = ", ".join(OPTIONS[scheme]) or "none"
        hint = close_match(unknown[0], OPTIONS[scheme])
        raise StoreError(f"{_shown(uri)!r}: unknown option {unknown[0]!r}{hint}; known: {known}")
    return options


def _holds_login(scheme: str, parts: SplitResult) -> bool:
    """Whether there is more than a name before the path; a secret may itself have a slash, so ``:`` is enough."""
    return ":" in parts.netloc or (scheme != "abfs" and "@" in parts.netloc)


def _environment() -> tuple[str | None, ...]:
    """What a file system depends on beside its URI, as far as it is not looked up again by itself."""
    return tuple(os.environ.get(name) for name in (*ENDPOINTS, *_AZURE_KEYS.values()))


@lru_cache(maxsize=32)
def _connect(
    scheme: str, place: str, options: tuple[tuple[str, str], ...], environment: tuple[str | None, ...]
) -> fs.FileSystem:
    """A file system of an object store; kept, since it holds its connections, until its environment changes."""
    given = dict(options)
    if scheme == "s3":
        return _s3(place, given)
    return _gcs(given) if scheme == "gs" else _azure(place, given)


def _s3(bucket: str, options: Mapping[str, str]) -> fs.FileSystem:
    usual = next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), "")
    scheme, mark, host = options.get("endpoint_override", usual).rpartition("://")
    region = options.get("region") or (None if host else _region(bucket))
    return fs.S3FileSystem(
        endpoint_override=host or None,
        scheme=options.get("scheme") or (scheme if mark else "https"),
        region=region,
        anonymous=_is_on(options, "anonymous"),
        allow_bucket_creation=_is_on(options, "allow_bucket_creation"),
        connect_timeout=CONNECT_SECONDS,
        request_timeout=REQUEST_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=S3_ATTEMPTS),
    )


def _region(bucket: str) -> str | None:
    """Where a bucket is; where that cannot be found out, what the environment says of all."""
    try:
        return str(fs.resolve_s3_region(bucket))
    except OSError:
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        if region is None:
            raise
        return region


def _gcs(options: Mapping[str, str]) -> fs.FileSystem:
    return fs.GcsFileSystem(
        endpoint_override=options.get("endpoint_override"),
        scheme=options.get("scheme"),
        project_id=options.get("project_id"),
        anonymous=_is_on(options, "anonymous"),
        retry_time_limit=timedelta(seconds=GCS_RETRY_SECONDS),
    )


def _azure(place: str, options: Mapping[str, str]) -> fs.FileSystem:
    if not hasattr(fs, "AzureFileSystem"):
        raise ValueError("this build of pyarrow knows no Azure storage")
    container, mark, host = place.partition("@")
    account, _, domain = host.partition(".")
    if not (container and mark and account):
        raise ValueError("no container and account")
    authorities = {"dfs_storage_authority": f".{domain}", "blob_storage_authority": _blob(domain)}
    return fs.AzureFileSystem(
        account_name=account,
        **{name: os.environ.get(variable) for name, variable in _AZURE_KEYS.items()},
        **{
            name: options.get(name, value) for name, value in authorities.items() if domain or name in options
        },
        **{f"{service}_storage_scheme": options.get("scheme") for service in ("dfs", "blob")},
    )


def _blob(domain: str) -> str:
    return "." + domain.replace("dfs.", "blob.", 1)


def _is_on(options: Mapping[str, str], name: str) -> bool:
    value = options.get(name, "false")
    if value not in {"true", "false"}:
        raise ValueError(f"{name}={value!r} is neither true nor false")
    return value == "true"
