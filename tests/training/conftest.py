"""Every test of this folder reads and fills a cache of its own."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HSL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
