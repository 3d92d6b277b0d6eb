"""A file is written whole, or the old one stays."""

from __future__ import annotations

import pytest

from bayeslaw.whole import whole


def test_the_file_appears_when_it_is_done_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "new" / "a.json"
    with whole(path) as beside:
        beside.write_text("all of it")
        assert beside.suffix == ".json"
        assert not path.exists()
    assert path.read_text() == "all of it"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_after_an_error_the_old_file_is_as_it_was(tmp_path, error):
    path = tmp_path / "a.json"
    path.write_text("old")

    def half():
        with whole(path) as beside:
            beside.write_text("half")
            raise error

    with pytest.raises(error):
        half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
