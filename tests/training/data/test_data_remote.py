"""Data sets in object storage, from a real S3 server on this machine that counts what is asked of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from moto.server import ThreadedMotoServer
from pyarrow import fs
from test_data_sources import encoded, pixels, write_images, write_parquet

from hsl.errors import DataError
from hsl.training.data.contents.fingerprints import fingerprint
from hsl.training.data.datasets import load
from hsl.training.data.sizes import known_size
from hsl.training.data.sources import imagefolder, parquet

BUCKET = "images"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    started = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    started.start()
    host, port = started.get_host_and_port()
    yield f"http://{host}:{port}"
    started.stop()


@pytest.fixture
def storage(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> fs.FileSystem:
    """The bucket, empty, with credentials in the environment."""
    made_up = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "us-east-1"}
    for name, value in {**made_up, "AWS_ENDPOINT_URL": server, "HSL_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    scheme, _, host = server.partition("://")
    files = fs.S3FileSystem(
        endpoint_override=host, scheme=scheme, region="us-east-1", allow_bucket_creation=True
    )
    files.create_dir(BUCKET)
    files.delete_dir_contents(BUCKET)
    return files


def put(storage: fs.FileSystem, folder: Path, name: str) -> str:
    fs.copy_files(str(folder), f"{BUCKET}/{name}", destination_filesystem=storage)
    return f"s3://{BUCKET}/{name}"


def local_files(folder: Path) -> Path:
    """Two files with images inside, one with images beside it, and a test file."""
    write_parquet(folder / "train" / "b.parquet", [encoded(pixels(i)) for i in range(4)], [0, 1, 2, 0])
    write_parquet(folder / "train-0.parquet", [encoded(pixels(i)) for i in range(4, 7)], [1, 2, 0])
    write_images(folder / "beside", range(7, 9))
    beside = [{"bytes": None, "path": f"beside/{i}.png"} for i in range(7, 9)]
    write_parquet(folder / "train-1.parquet", beside, [1, 2])
    write_parquet(folder / "test.parquet", [encoded(pixels(9))], [1])
    return folder


def test_what_is_read_is_what_lies_there(storage: fs.FileSystem, tmp_path: Path) -> None:
    here = local_files(tmp_path / "here")
    uri = put(storage, here, "several")
    expected = parquet(str(here))
    for spelling in (uri, f"{uri}/"):
        found = parquet(spelling)
        for part in ("images", "labels", "is_test"):
            assert np.array_equal(getattr(found, part), getattr(expected, part))
    assert known_size(f"parquet:{uri}") == known_size(f"parquet:{here}")
    assert not [file for file in (tmp_path / "cache").rglob("*") if file.name.startswith("fetching-")]


def test_one_file_is_a_data_set(storage: fs.FileSystem, tmp_path: Path) -> None:
    write_parquet(tmp_path / "here" / "test.parquet", [encoded(pixels(0))], [0])
    uri = put(storage, tmp_path / "here", "one")
    assert not parquet(f"{uri}/test.parquet").is_test.any()


def test_what_has_changed_there_is_fetched_again(storage: fs.FileSystem, tmp_path: Path) -> None:
    here = local_files(tmp_path / "here")
    uri = put(storage, here, "changing")
    before = fingerprint("parquet", uri)
    assert fingerprint("parquet", uri) == before
    assert len(load(f"parquet:{uri}").labels) == 10
    write_parquet(here / "train-2.parquet", [encoded(pixels(11))], [0])
    put(storage, here, "changing")
    assert fingerprint("parquet", uri) != before
    assert len(load(f"parquet:{uri}").labels) == 11


def test_files_of_one_size_and_one_second_are_told_apart(storage: fs.FileSystem) -> None:
    """Two uploads within a second have the same time in the listing of S3."""
    name, digests, times = f"{BUCKET}/one/train.parquet", set(), set()
    for content in (b"before", b"behind") * 5:
        with storage.open_output_stream(name) as file:
            file.write(content)
        times.add(storage.get_file_info(name).mtime)
        digests.add((content, fingerprint("parquet", f"s3://{BUCKET}/one")))
    assert len({digest for _, digest in digests}) > len(times)


LOAD = """
import json, sys
from hsl.training.data.datasets import load
arrays = load(sys.argv[1])
print(json.dumps([int(arrays.images.astype(int).sum()), arrays.labels.tolist()]))
"""


def loaded_by_processes(uri: str, cache: Path, count: int) -> list[object]:
    """What so many processes at once have loaded."""
    environment = {**os.environ, "HSL_CACHE": str(cache)}
    command = [sys.executable, "-c", LOAD, f"parquet:{uri}"]
    started = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for _ in range(count)]
    return [json.loads(process.communicate(timeout=600)[0]) for process in started]


class Fetched:
    """Counts whole or partial downloads of data files, by watching what the server's files are asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from moto.s3.responses import S3Response  # noqa: PLC0415

        self.count = 0
        answer = S3Response.get_object

        def counted(response: S3Response) -> object:
            self.count += 1
            return answer(response)

        monkeypatch.setattr(S3Response, "get_object", counted)


def test_processes_of_a_node_fetch_it_once(
    storage: fs.FileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = put(storage, local_files(tmp_path / "here"), "once")
    fetched = Fetched(monkeypatch)
    (alone,) = loaded_by_processes(uri, tmp_path / "one", 1)
    by_one = fetched.count
    assert by_one >= 6, "four tables and two images"
    assert loaded_by_processes(uri, tmp_path / "two", 2) == [alone, alone]
    assert fetched.count == 2 * by_one
    assert loaded_by_processes(uri, tmp_path / "two", 1) == [alone]
    assert fetched.count == 2 * by_one, "it is on this node now"


def test_what_is_wrong_is_told_of_the_address(storage: fs.FileSystem, tmp_path: Path) -> None:
    write_parquet(tmp_path / "here" / "a.parquet", [b"no image"], [0])
    uri = put(storage, tmp_path / "here", "damaged")
    with pytest.raises(DataError, match=rf"{uri}/a\.parquet row 0: not a readable image"):
        parquet(uri)
    with pytest.raises(DataError, match=f"s3://{BUCKET}/nothing"):
        parquet(f"s3://{BUCKET}/nothing")
    with pytest.raises(DataError, match="there is nothing at s3://no-such-bucket/x; check the address"):
        load("parquet:s3://no-such-bucket/x")
    with pytest.raises(DataError, match="carrier://pigeon"):
        load("parquet:carrier://pigeon")
    with pytest.raises(DataError, match="imagefolder reads local folders only"):
        load(f"imagefolder:s3://{BUCKET}/x")
    assert known_size("parquet:s3://no-such-bucket/x") is None
    with pytest.raises(DataError, match="local folders only"):
        imagefolder(uri)
