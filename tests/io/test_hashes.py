"""Hashes of files and folders."""

from __future__ import annotations

import hashlib

from bidsapp.io.hashes import file_hash, folder_hash


def test_a_file_has_the_hash_of_its_bytes(tmp_path):
    (tmp_path / "a.py").write_bytes(b"abc")
    assert file_hash(tmp_path / "a.py") == "sha256:" + hashlib.sha256(b"abc").hexdigest()


def test_a_folder_changes_with_any_name_or_content_that_counts(tmp_path, monkeypatch):
    def taken() -> str:
        folder_hash.cache_clear()
        return folder_hash(tmp_path, (".py", ".toml"))

    (tmp_path / "sub").mkdir()
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "sub" / "b.toml").write_text("2")
    seen = [taken()]
    (tmp_path / "a.pyc").write_text("compiled")
    assert taken() == seen[0]
    (tmp_path / "a.py").write_text("2")
    seen.append(taken())
    (tmp_path / "sub" / "b.toml").rename(tmp_path / "sub" / "c.toml")
    seen.append(taken())
    (tmp_path / "d.py").write_text("")
    seen.append(taken())
    assert len(set(seen)) == 4
    every = list(tmp_path.rglob("*"))
    for order in (every, every[::-1]):  # of the file system
        monkeypatch.setattr(type(tmp_path), "rglob", lambda *_, order=order: order)
        assert taken() == seen[-1]
