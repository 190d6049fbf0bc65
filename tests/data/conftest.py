"""A file in a folder of the test."""

import pytest


@pytest.fixture
def write(tmp_path):
    def writer(content, name="t.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return writer
