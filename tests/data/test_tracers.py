"""The tracer table: names are found, never mistaken; numbers agree with their sources."""

import pytest

from bidsapp.data.tracers import tracer_from_name, tracers

NAMES = {
    "PIB": [
        "PIB", "PiB", "[11C]PiB", "[11C]PIB", "11C-PIB", "C11-PiB", "PIB-C11", "C-11 PIB", "11CPIB",
        "Pittsburgh compound B", "Pittsburgh Compound-B", "[C-11]PiB", "[¹¹C]PiB", "C11PIB",
        "Pittsburgh compound B C^11^",
        "(11C) Pittsburgh Compound B", "carbon-11 PiB", "PiB (Pittsburgh compound B)", "11C_PIB",
    ],
    "FBB": [
        "FBB", "florbetaben", "Florbetaben", "[18F]florbetaben", "18F-Florbetaben", "BAY94-9172",
        "BAY 94-9172", "18Fflorbetaben", "Neuraceq", "NeuraCeq (florbetaben F18)", "AV-1", "AV1",
        "Florbetaben F^18^", "F18_FBB", "Solution: Florbetaben 300 MBq", "fluorine-18 florbetaben",
        "florbétabène", "Florbetabén (18F)", "Florbetabeno", "Fluorbetaben",
        "Neuraceq\N{TRADE MARK SIGN}",
    ],
    "FBP": [
        "FBP", "florbetapir", "[18F]AV-45", "AV45", "AV 45", "av-45", "Amyvid", "18F-AV45",
        "FLORBETAPIR F-18", "Florbetapir F 18 (Amyvid)", "AV45-F18", "[18F]florbetapir",
        "(18)F-florbetapir", "¹⁸F-florbetapir", "florbetapir (18F)", "florbétapir",
        "18F-fluorbetapir", "Amyvid\N{REGISTERED SIGN}", "Amyvid\N{TRADE MARK SIGN} (Lilly)",
    ],
    "FMM": [
        "FMM", "flutemetamol", "[18F]Flutemetamol", "Vizamyl", "GE-067", "GE067", "18F-GE067",
        "AH110690", "AH-110690", "[18F]3'-F-PiB", "3-F-PIB", "flutémétamol",
    ],
    "NAV": [
        "NAV", "NAV4694", "NAV-4694", "[18F]NAV4694", "AZD4694", "AZD-4694", "18F-AZD4694",
        "flutafuranol", "Flutafuranol (NAV4694)",
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("code", "name"), [(code, name) for code, names in NAMES.items() for name in names]
)
def test_every_spelling_finds_its_tracer(code, name):
    assert tracer_from_name(name).code == code


@pytest.mark.parametrize(
    "name",
    [
        "", "n/a", "unknown", "F18", "[18F]", "C11", "amyloid", "Solution",
        "FDG", "[18F]FDG", "18F-FDG", "18FDG", "Fluorodeoxyglucose F^18^",
        "flortaucipir", "AV-1451", "AV1451", "[18F]AV-1451", "18F AV 1451", "T807", "AV-133",
        "MK6240", "[18F]MK-6240", "PI-2620", "RO948", "THK5351", "PBB3", "AZD2184",
        "FLT", "florapronol",
        "2-deoxy-2-[18F]fluoro-D-glucose", "L-[1-11C]leucine", "[15O]H2O", "SF12051", "martinostat",
        # the fluorinated PiB is flutemetamol, by its own name only
        "[18F]PiB", "(18)F-PiB", "¹⁸F-PiB", "F18 PIB",
        "[11C]florbetaben", "[11C]AZD4694",
        "florbetapir or florbetaben", "FDG after florbetapir", "AV-450", "NAV4", "florbeta",
    ],
)  # fmt: skip
def test_what_is_no_tracer_of_ours_stays_unknown(name):
    assert tracer_from_name(name) is None


def test_windows_and_half_lives_are_those_of_the_standard_pipeline():
    windows = {code: tracer.window_min for code, tracer in tracers().items()}
    assert windows == {
        "PIB": (50, 70), "FBB": (90, 110), "FBP": (50, 60), "FMM": (90, 110), "NAV": (50, 70)
    }  # fmt: skip
    for tracer in tracers().values():
        half_life_min = {"C11": 20.364, "F18": 109.77}[tracer.radionuclide]
        assert tracer.half_life_s == pytest.approx(60 * half_life_min, rel=1e-4)
        assert tracer.name.startswith({"C11": "[11C]", "F18": "[18F]"}[tracer.radionuclide])


def test_every_equation_tells_where_it_comes_from():
    for tracer in tracers().values():
        equation = tracer.equation
        assert equation.reference_region == "wc"
        assert equation.doi.startswith("10.") and equation.source and equation.n > 30
        assert (equation.r2 is None) == (tracer.code == "PIB")
