"""Downloads: verified, resumed, done once, and clear about what is missing."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from local_server import Publisher, serving

from hsl.errors import DataError
from hsl.training.data import downloads
from hsl.training.data.downloads import Archive, fetch

CONTENT = np.random.default_rng(0).bytes(300_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[Publisher]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "set.bin").write_bytes(CONTENT)
    with serving(tmp_path / "served") as found:
        yield found


def archive(publisher: Publisher, md5: str = MD5) -> Archive:
    return Archive("set.bin", md5, (f"{publisher.url}set.bin",))


def test_a_file_is_fetched_once_and_verified(tmp_path: Path, publisher: Publisher) -> None:
    file = fetch(archive(publisher), tmp_path / "here")
    assert file.read_bytes() == CONTENT
    assert fetch(archive(publisher), tmp_path / "here") == file
    assert publisher.asked == [("/set.bin", None)]
    assert {found.name for found in file.parent.iterdir()} <= {"set.bin", "set.bin.lock"}


def test_a_download_that_breaks_off_goes_on_where_it_was(tmp_path: Path, publisher: Publisher) -> None:
    publisher.breaks_after = 100_000
    assert fetch(archive(publisher), tmp_path).read_bytes() == CONTENT
    assert [asked for _, asked in publisher.asked] == [None, "bytes=100000-", "bytes=200000-"]


def test_a_later_call_goes_on_where_an_earlier_one_was_killed(tmp_path: Path, publisher: Publisher) -> None:
    (tmp_path / "set.bin.part").write_bytes(CONTENT[:250_000])
    assert fetch(archive(publisher), tmp_path).read_bytes() == CONTENT
    assert publisher.asked == [("/set.bin", "bytes=250000-")]


def test_a_part_that_is_whole_already_is_taken(tmp_path: Path, publisher: Publisher) -> None:
    (tmp_path / "set.bin.part").write_bytes(CONTENT)
    assert fetch(archive(publisher), tmp_path).read_bytes() == CONTENT


def test_a_server_that_knows_no_ranges_sends_everything_again(tmp_path: Path, publisher: Publisher) -> None:
    publisher.knows_ranges = False
    (tmp_path / "set.bin.part").write_bytes(CONTENT[:10])
    assert fetch(archive(publisher), tmp_path).read_bytes() == CONTENT


def test_an_old_part_of_another_file_is_thrown_away(tmp_path: Path, publisher: Publisher) -> None:
    (tmp_path / "set.bin.part").write_bytes(b"another" * 1000)
    assert fetch(archive(publisher), tmp_path).read_bytes() == CONTENT


def test_another_content_is_refused_and_not_kept(tmp_path: Path, publisher: Publisher) -> None:
    with pytest.raises(DataError, match="what came has another checksum"):
        fetch(archive(publisher, md5="0" * 32), tmp_path)
    assert [asked for _, asked in publisher.asked] == [None]
    assert not [file for file in tmp_path.iterdir() if file.name in {"set.bin", "set.bin.part"}]


def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, publisher: Publisher) -> None:
    (tmp_path / "set.bin").write_bytes(CONTENT[:-1])
    with pytest.raises(DataError, match=rf"damaged or another file.*expected {MD5}; delete it"):
        fetch(archive(publisher), tmp_path)
    assert publisher.asked == []


def test_the_next_address_is_tried(tmp_path: Path, publisher: Publisher) -> None:
    mirrors = (f"{publisher.url}gone.bin", f"{publisher.url}set.bin")
    assert fetch(Archive("set.bin", MD5, mirrors), tmp_path).read_bytes() == CONTENT
    assert [path for path, _ in publisher.asked] == ["/gone.bin", "/set.bin"]


def test_without_a_network_it_says_what_to_fetch_and_where_to_put_it(tmp_path: Path) -> None:
    with serving(tmp_path) as publisher:
        url = f"{publisher.url}set.bin"  # nobody listens there any more
    with pytest.raises(DataError) as raised:
        fetch(Archive("set.bin", MD5, (url,)), tmp_path / "here")
    message = str(raised.value)
    assert all(part in message for part in ("Connection refused", url, MD5, str(tmp_path / "here")))
    (tmp_path / "here" / "set.bin").write_bytes(CONTENT)
    assert fetch(Archive("set.bin", MD5, (url,)), tmp_path / "here").is_file()


def test_a_server_that_sends_nothing_more_is_given_up(tmp_path: Path, publisher: Publisher) -> None:
    publisher.breaks_after = 0
    with pytest.raises(DataError, match="could not be downloaded"):
        fetch(archive(publisher), tmp_path)
    assert len(publisher.asked) == 1


def test_two_at_once_download_once(tmp_path: Path, publisher: Publisher) -> None:
    threads = [threading.Thread(target=fetch, args=(archive(publisher), tmp_path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(publisher.asked) == 1
    assert downloads.checksum(tmp_path / "set.bin") == MD5
