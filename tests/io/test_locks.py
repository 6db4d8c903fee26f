"""Locks: one holder at a time, and file systems that have none."""

import errno
import fcntl

import pytest

from bidsapp.io.locks import holding


def test_one_holder_at_a_time(tmp_path):
    with holding(tmp_path / "lock") as held:
        assert held
        with pytest.raises(BlockingIOError), holding(tmp_path / "lock"):
            pass
    with holding(tmp_path / "lock", flags=0) as held:
        assert held


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_stops_nobody(tmp_path, monkeypatch, number):
    def refuse(descriptor, kind):
        raise OSError(number, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with holding(tmp_path / "lock") as one, holding(tmp_path / "lock") as other:
        assert not one and not other
