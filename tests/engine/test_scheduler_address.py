"""The address of a Dask scheduler."""

from __future__ import annotations

import pytest

from estbench.engine.cluster import cluster
from estbench.errors import UsageError


@pytest.mark.parametrize("address", ["tls://127.0.0.1:9999", "nonsense://x", "tcp://[::1", "tcp://", "a b"])
def test_addresses_that_cannot_be(address: str) -> None:
    """What is no address, or needs certificates that are not there, is one message at once."""
    with pytest.raises(UsageError, match=r"--scheduler .*such as tcp://host:8786"), cluster(1, address):
        pass
