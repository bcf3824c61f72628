"""Access to files by local path or by the URI of an object store, with retries during outages, and atomic writes.

Credentials come from the environment alone. A URI appears in files, logs and process lists, so one with credentials
is refused. `OPTIONS` lists what may follow the ``?`` of a URI.
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
"""Randomised waits between attempts double up to 20 s: about two minutes in all, rarely less than one."""

GCS_RETRY_SECONDS = 120
CONNECT_SECONDS, REQUEST_SECONDS = 5.0, 30.0
"""Timeouts after which a request is repeated."""

WHERE = (
    "a local path, s3://BUCKET/PATH, gs://BUCKET/PATH or abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH"
)

OPTIONS = {
    "s3": ("endpoint_override", "region", "scheme", "anonymous", "allow_bucket_creation"),
    "gs": ("endpoint_override", "scheme", "anonymous", "project_id"),
    "abfs": ("scheme", "blob_storage_authority", "dfs_storage_authority"),
    "file": (),
}
"""Options of a URI by scheme."""

VARIABLES = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile or a role of the machine",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or a service account of the machine",
    "abfs": "AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, or AZURE_CLIENT_ID and its like, or a managed identity",
}
"""Sources of credentials by scheme."""

_SAME = {"gcs": "gs", "abfss": "abfs"}
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""Environment variables that name an S3 server other than that of AWS."""

_AZURE_KEYS = {"account_key": "AZURE_STORAGE_KEY", "sas_token": "AZURE_STORAGE_SAS_TOKEN"}
_CREDENTIAL = re.compile(r"(?i)sig|s[ptvre]|spr|.*(secret|token|key|passw|credential|signature).*")
"""Names of options that hold credentials, including the signatures of Azure and S3."""

UNREACHABLE = (OSError, pa.ArrowException)
"""Errors of a file system that cannot be used now; that of Azure raises others than OSError."""

TEMPORARY = ".tmp-"
"""Prefix of the name of a file or folder that is being written."""


def open_filesystem(uri: str) -> tuple[fs.FileSystem, str]:
    """The file system that `uri` names, and the path on it.

    Args:
        uri: Local path, or URI with ``file://``, ``s3://``, ``gs://`` or ``abfs://`` and options of `OPTIONS`.

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
        environment = tuple(os.environ.get(name) for name in (*ENDPOINTS, *_AZURE_KEYS.values()))
        filesystem = _connect(scheme, parts.netloc, tuple(options.items()), environment)
    except (*UNREACHABLE, ValueError, RuntimeError) as error:
        raise StoreError(f"{_shown(uri)!r}: {redact(str(error))}; give {WHERE}") from error
    return filesystem, f"{parts.netloc.partition('@')[0]}{path}".rstrip("/")


def join(uri: str, *names: str) -> str:
    """The path or URI of `names` below `uri`, with the options of `uri`."""
    place, options = _split(uri)
    return "/".join((place.rstrip("/"), *names)) + options


def with_suffix(uri: str, suffix: str) -> str:
    """`uri` with `suffix` added to its path."""
    place, options = _split(uri)
    return place + suffix + options


def absolute(uri: str) -> str:
    """`uri` for use in other processes: independent of the working directory, with the region of its bucket."""
    if "://" not in uri:
        return str(Path(uri).expanduser().absolute())
    filesystem, path = open_filesystem(uri)
    if isinstance(filesystem, fs.LocalFileSystem):
        return path
    if not isinstance(filesystem, fs.S3FileSystem) or "region=" in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}region={filesystem.region}"


def place(uri: str, content: bytes | pa.Buffer) -> None:
    """Write a file atomically: readers find the old file or the whole new one, also after a power cut.

    Raises:
        OSError: If it cannot be written; the old file remains.
    """
    place_on(*open_filesystem(uri), content)


def place_on(filesystem: fs.FileSystem, path: str, content: bytes | pa.Buffer) -> None:
    """`place` on an open file system: by a rename, or by the single put of an object store."""
    if isinstance(filesystem, fs.LocalFileSystem):
        with placed(Path(path)) as scratch:
            scratch.write_bytes(content)
        return
    with filesystem.open_output_stream(path) as stream:
        stream.write(content)


@contextlib.contextmanager
def placed(target: Path) -> Iterator[Path]:
    """Write a local file or folder under a temporary name, which becomes `target` at the end of the context.

    The content is synced before the rename, and the name before the context ends. Missing parent folders are created. A
    folder does not replace an existing one: remove that first. After an error the temporary file is removed.

    Yields:
        A new path next to `target`, with its suffix.
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
    """Rename a complete local file or folder: sync its content before, its name afterwards."""
    for folder, _, files in os.walk(scratch):
        for name in files:
            _sync(Path(folder, name))
        _sync(Path(folder))
    if scratch.is_file():
        _sync(scratch)
    scratch.replace(target)
    _sync(target.parent)


def _make_folder(folder: Path) -> None:
    """Create `folder` and its parents, and sync the names of new ones."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)


def _sync(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:  # file systems that cannot sync folders
            raise
    finally:
        os.close(handle)


def _split(uri: str) -> tuple[str, str]:
    """The parts of a URI before and from its ``?``; a local path has no second part."""
    place, mark, options = uri.partition("?") if "://" in uri else (uri, "", "")
    return place, mark + options


def without_options(uri: str) -> str:
    """A path or URI up to its ``?``."""
    return _split(uri)[0]


def _shown(uri: str) -> str:
    return redact(without_options(uri))


def _checked_options(uri: str, scheme: str, parts: SplitResult) -> dict[str, str]:
    """The options of a URI; raise a StoreError if it holds credentials, or a scheme or option is unknown."""
    if scheme not in OPTIONS:
        raise StoreError(f"{_shown(uri)!r}: unknown kind of file system; give {WHERE}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = [name for name in options if name not in OPTIONS[scheme]]
    secret = any(map(_CREDENTIAL.fullmatch, unknown)) or any("@" in value for value in options.values())
    # A secret may itself contain a slash, so ":" before the path is enough.
    login = ":" in parts.netloc or (scheme != "abfs" and "@" in parts.netloc)
    if scheme != "file" and (login or secret):
        raise StoreError(
            f"{scheme}://***: the URI holds credentials, which would end up in files, logs and process lists; "
            f"give {WHERE}, and in the environment {VARIABLES[scheme]}"
        )
    if unknown:
        known = ", ".join(OPTIONS[scheme]) or "none"
        hint = close_match(unknown[0], OPTIONS[scheme])
        raise StoreError(f"{_shown(uri)!r}: unknown option {unknown[0]!r}{hint}; known: {known}")
    return options


@lru_cache(maxsize=32)
def _connect(
    scheme: str, place: str, options: tuple[tuple[str, str], ...], environment: tuple[str | None, ...]
) -> fs.FileSystem:
    """The file system of an object store, cached with its connections until variables that it reads once change."""
    given = dict(options)
    if scheme == "s3":
        return _s3(place, given)
    return _gcs(given) if scheme == "gs" else _azure(place, given)


def _s3(bucket: str, options: Mapping[str, str]) -> fs.FileSystem:
    default = next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), "")
    scheme, mark, host = options.get("endpoint_override", default).rpartition("://")
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
    """The region of a bucket; the default of the environment if it cannot be found out."""
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
    blob = domain.replace("dfs.", "blob.", 1)
    domains = {"dfs_storage_authority": f".{domain}", "blob_storage_authority": f".{blob}"} if domain else {}
    return fs.AzureFileSystem(
        account_name=account,
        **{name: os.environ.get(variable) for name, variable in _AZURE_KEYS.items()},
        **{**domains, **{name: value for name, value in options.items() if name != "scheme"}},
        **{f"{service}_storage_scheme": options.get("scheme") for service in ("dfs", "blob")},
    )


def _is_on(options: Mapping[str, str], name: str) -> bool:
    value = options.get(name, "false")
    if value not in {"true", "false"}:
        raise ValueError(f"{name}={value!r} is neither true nor false")
    return value == "true"
