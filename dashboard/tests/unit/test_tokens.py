"""Contrast of every pair of colours that tokens.css says must be legible, in the dark and in the light sky."""

from __future__ import annotations

import re
from pathlib import Path

import persona_dashboard
import pytest

STATIC = Path(persona_dashboard.__file__).parent / "static"
TOKENS = (STATIC / "tokens.css").read_text(encoding="utf-8")
PAIRS = re.findall(r"([a-z-]+)/([a-z-]+) ([\d.]+)", TOKENS.split("*/")[0])


def colours(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))


DARK = colours(TOKENS.split("@media")[0])
LIGHT = {**DARK, **colours(TOKENS.split("@media")[1])}


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def test_the_measure_itself() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert len(PAIRS) > 20


@pytest.mark.parametrize("sky", ["dark", "light"])
@pytest.mark.parametrize(("ink", "ground", "least"), PAIRS)
def test_contrast(sky: str, ink: str, ground: str, least: str) -> None:
    palette = DARK if sky == "dark" else LIGHT
    assert contrast(palette[ink], palette[ground]) >= float(least), f"{palette[ink]} on {palette[ground]}"


def test_styles_use_only_tokens_that_exist() -> None:
    used = {n for css in STATIC.glob("*.css") for n in re.findall(r"var\(--([a-z0-9-]+)\)", css.read_text("utf-8"))}
    assert used - set(re.findall(r"--([a-z0-9-]+):", TOKENS)) == set()


@pytest.mark.parametrize("path", sorted(STATIC.glob("[ad]*.css")), ids=lambda path: path.name)
def test_colours_stand_in_one_place(path: Path) -> None:
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b|rgba?\(", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", sorted(STATIC.iterdir()), ids=lambda path: path.name)
def test_nothing_is_fetched_from_elsewhere(path: Path) -> None:
    addresses = re.findall(r"https?://[^\s\"')]+", path.read_text(encoding="utf-8"))
    assert [address for address in addresses if address != "http://www.w3.org/2000/svg"] == []
