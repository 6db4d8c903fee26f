import re
from importlib.metadata import version

from bidsapp.sbom import bill_of_materials


def test_it_names_what_is_installed():
    bill = bill_of_materials()
    assert bill == bill_of_materials()
    python = {c["name"]: c for c in bill["components"] if c["purl"].startswith("pkg:pypi/")}
    for name in ("numpy", "nibabel", "nipype", "pydicom"):
        assert python[name]["version"] == version(name)
        assert python[name]["licenses"][0]["license"]["name"] != "not stated"
    assert all(re.fullmatch(r"pkg:(pypi|deb)/\S+@\S+", c["purl"]) for c in bill["components"])
