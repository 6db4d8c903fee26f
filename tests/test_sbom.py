import re
from importlib.metadata import version

from sbom import bill_of_materials, debian_license


def test_it_names_what_is_installed():
    bill = bill_of_materials()
    assert bill == bill_of_materials()
    python = {c["name"]: c for c in bill["components"] if c["purl"].startswith("pkg:pypi/")}
    for name in ("numpy", "nibabel", "nipype", "pydicom"):
        assert python[name]["version"] == version(name)
        assert python[name]["licenses"][0]["license"]["name"] != "not stated"
    assert all(re.fullmatch(r"pkg:(pypi|deb)/\S+@\S+", c["purl"]) for c in bill["components"])


def test_licences_of_debian_packages(tmp_path):
    (tmp_path / "libone").mkdir()
    (tmp_path / "libone/copyright").write_text(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"
        "Files: *\nCopyright: a person\nLicense: MIT\n Permission is hereby granted\n\n"
        "Files: debian/*\nCopyright: another\nLicense: GPL-2+\n\n"
        "License: MIT\n Permission is hereby granted\n"
    )
    (tmp_path / "old").mkdir()
    (tmp_path / "old/copyright").write_text("This package was made by hand.\nLicense: see web\n")
    assert debian_license("libone", tmp_path) == "MIT; GPL-2+"
    assert debian_license("old", tmp_path) == f"see {tmp_path}/old/copyright"
    assert debian_license("none", tmp_path) == f"see {tmp_path}/none/copyright"
