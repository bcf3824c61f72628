"""Paths and URIs: what they name, what is refused, and how they are joined."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import fs

from hsl.errors import StoreError
from hsl.filesystems import absolute, join, open_filesystem, place, placed, with_suffix
from hsl.provenance import redact

S3 = "s3://bucket/hsl?endpoint_override=127.0.0.1%3A9&scheme=http"
SECRET = "wJalr/XUtn+FEMI"


@pytest.mark.parametrize(
    ("uri", "kind", "path"),
    [
        ("file:///a%20b/c/", fs.LocalFileSystem, "/a b/c"),
        (S3, fs.S3FileSystem, "bucket/hsl"),
        ("s3://bucket?region=eu-west-1&anonymous=true", fs.S3FileSystem, "bucket"),
        ("gs://bucket/a%20b?anonymous=true", fs.GcsFileSystem, "bucket/a b"),
        ("gcs://bucket/a?anonymous=true&endpoint_override=127.0.0.1:9", fs.GcsFileSystem, "bucket/a"),
    ],
)
def test_what_a_uri_names(uri: str, kind: type, path: str) -> None:
    filesystem, found = open_filesystem(uri)
    assert isinstance(filesystem, kind)
    assert found == path


@pytest.mark.skipif(not hasattr(fs, "AzureFileSystem"), reason="this build of pyarrow knows no Azure storage")
@pytest.mark.parametrize("scheme", ["abfs", "abfss"])
def test_azure(scheme: str) -> None:
    filesystem, path = open_filesystem(f"{scheme}://container@account.dfs.core.windows.net/a/b")
    expected, same = fs.FileSystem.from_uri(f"{scheme}://container@account.dfs.core.windows.net/a/b")
    assert filesystem.type_name == expected.type_name == "abfs"
    assert path == same == "container/a/b"


def test_options_reach_the_file_system() -> None:
    filesystem, _ = open_filesystem("s3://bucket?region=eu-west-1&anonymous=true")
    assert filesystem.region == "eu-west-1"
    assert open_filesystem(S3)[0] is open_filesystem(join(S3, "a", "b"))[0], "connections are kept"


def test_the_address_of_a_server_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    monkeypatch.setattr(fs, "S3FileSystem", lambda **given: opened.append(given))
    for variable, address in (("AWS_ENDPOINT_URL", "http://a:1"), ("AWS_ENDPOINT_URL_S3", "https://b:2")):
        monkeypatch.setenv(variable, address)
        open_filesystem("s3://named-by-no-other-test")
    open_filesystem("s3://named-by-no-other-test?endpoint_override=http://c:3&scheme=https")
    assert [(given["scheme"], given["endpoint_override"]) for given in opened] == [
        ("http", "a:1"),
        ("https", "b:2"),
        ("https", "c:3"),
    ]


@pytest.mark.parametrize(
    ("uri", "variable"),
    [
        ("s3://AKIA:{}@bucket/x", "AWS_SECRET_ACCESS_KEY"),
        ("s3://:{}@bucket", "AWS_SECRET_ACCESS_KEY"),
        ("s3://bucket/x?secret_key={}", "AWS_SECRET_ACCESS_KEY"),
        ("s3://bucket/x?endpoint_override=user:{}@host:9000", "AWS_SECRET_ACCESS_KEY"),
        ("s3://bucket/x?region=eu&X-Amz-Signature={}", "AWS_SECRET_ACCESS_KEY"),
        ("gs://bucket?access_token={}", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("abfs://container:{}@account.dfs.core.windows.net/x", "AZURE_STORAGE_KEY"),
        ("abfs://container@account.dfs.core.windows.net/x?sv=2024&sig={}", "AZURE_STORAGE_SAS_TOKEN"),
    ],
)
def test_credentials_in_a_uri_are_refused_with_the_variable_to_set(uri: str, variable: str) -> None:
    with pytest.raises(StoreError, match=variable) as caught:
        open_filesystem(uri.format(SECRET))
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value.__cause__)
    assert SECRET not in redact(uri.format(SECRET))


@pytest.mark.parametrize(
    "uri", ["ftp://host/path", "hdfs://host/path", "s4:///x", "://", "s3://", "abfs://c/x"]
)
def test_anything_else_is_refused_with_what_there_is(uri: str) -> None:
    with pytest.raises(StoreError, match="a local path, s3://BUCKET/PATH, gs://BUCKET/PATH or abfs://"):
        open_filesystem(uri)


def test_a_misspelt_option_is_refused() -> None:
    with pytest.raises(StoreError, match=r"unknown option 'regoin' \(did you mean 'region'\?\)"):
        open_filesystem("s3://bucket?regoin=eu-west-1")
    with pytest.raises(StoreError, match="'yes' is neither true nor false"):
        open_filesystem("s3://bucket?region=eu-west-1&anonymous=yes")


def test_what_is_below_a_uri_stands_before_its_options() -> None:
    assert join(S3, "a", "b.json") == S3.replace("/hsl", "/hsl/a/b.json")
    assert open_filesystem(join(S3, "a", "b.json"))[1] == "bucket/hsl/a/b.json"
    assert with_suffix(join(S3, "a"), ".previous") == S3.replace("/hsl", "/hsl/a.previous")
    assert join("s3://bucket/hsl/", "a") == "s3://bucket/hsl/a"
    assert join("runs/what?", "a") == "runs/what?/a"
    assert with_suffix("runs/what?", "b") == "runs/what?b"


def test_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("a") == absolute(f"file://{tmp_path}/a") == str(tmp_path / "a")
    assert absolute("s3://bucket?region=eu-west-1") == "s3://bucket?region=eu-west-1"
    assert absolute("gs://bucket?anonymous=true") == "gs://bucket?anonymous=true"
    monkeypatch.setattr(fs, "resolve_s3_region", lambda bucket: f"region-of-{bucket}")
    assert absolute("s3://elsewhere/hsl") == "s3://elsewhere/hsl?region=region-of-elsewhere"


def test_a_region_that_cannot_be_looked_up_is_that_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unreachable(bucket: str) -> str:
        raise OSError("unreachable")

    monkeypatch.setattr(fs, "resolve_s3_region", unreachable)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StoreError, match="unreachable"):
        open_filesystem("s3://lost")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    assert open_filesystem("s3://lost")[0].region == "eu-west-2"


class Crash(BaseException):
    """What a killed process looks like from within."""


def test_a_file_appears_with_its_folders_and_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "a"
    place(str(file), b"old")
    place(f"file://{file}", pa.py_buffer(b"new"))
    assert file.read_bytes() == b"new"
    assert [found.name for found in file.parent.iterdir()] == ["a"]


def test_a_crash_before_the_rename_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a"
    place(str(file), b"old")

    def crash(*_: object) -> None:
        raise Crash

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(Crash):
        place(str(file), b"new")
    monkeypatch.undo()
    assert file.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["a"]


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "a"
    place(str(file), b"old")
    code = f"""
import os
import os
import subprocess
import sys
from pathlib import Path
from hsl.filesystems import place
Path.replace = lambda *_: os._exit(9)
place({str(file)!r}, b"new")
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=600).returncode == 9
    assert file.read_bytes() == b"old"


def test_two_writers_do_not_share_a_scratch_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One writer begins and ends while another is between writing and renaming."""
    file = tmp_path / "a"
    rename = Path.replace

    def overtaken(scratch: Path, target: Path) -> None:
        monkeypatch.undo()
        place(str(file), b"other")
        rename(scratch, target)

    monkeypatch.setattr(Path, "replace", overtaken)
    place(str(file), b"own")
    assert file.read_bytes() == b"own"


@pytest.mark.parametrize("is_folder", [False, True], ids=["file", "folder"])
def test_everything_is_on_the_disk_before_its_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_folder: bool
) -> None:
    """The order of the calls to the system is what a power cut finds: content, rename, folder."""
    calls: list[str] = []
    sync, rename = os.fsync, os.replace

    def synced(handle: int) -> None:
        calls.append(f"sync {Path(f'/proc/self/fd/{handle}').readlink().name}")
        sync(handle)

    def renamed(source: Path, target: Path) -> None:
        calls.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    with placed(tmp_path / "new" / "a") as scratch:
        if is_folder:
            scratch.mkdir()
        for file in (scratch / "b", scratch / "c") if is_folder else (scratch,):
            file.write_bytes(b"x")
    content = ["b", "c", scratch.name] if is_folder else [scratch.name]
    assert calls[0] == f"sync {tmp_path.name}", "the new folder's own name"
    assert sorted(calls[1 : 1 + len(content)]) == sorted(f"sync {name}" for name in content)
    assert calls[1 + len(content) :] == ["rename", "sync new"]


def test_nothing_is_left_of_a_folder_that_failed(tmp_path: Path) -> None:
    with pytest.raises(Crash), placed(tmp_path / "a") as scratch:
        scratch.mkdir()
        (scratch / "b").touch()
        raise Crash
    assert list(tmp_path.iterdir()) == []
