"""Durations and sizes as people write them: `1h30m`, `8k`.

The launcher reads them, too: no argparse and no patterns, which take milliseconds to load.
"""

from __future__ import annotations

_SECONDS = {"w": 7 * 86400, "d": 86400, "h": 3600, "m": 60, "s": 1}
_BYTES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_LONGEST = 100 * 365 * 86400  # a hundred years: with more, dates leave Python's calendar


def parse_duration(text: str) -> float:
    """Return the seconds of `90d`, `24h`, `1h30m` or `1.5h`; larger units come first.

    Raises ValueError with what is wrong.
    """
    seconds, rest, units = 0.0, text.strip(), "wdhms"
    while True:
        number = _leading_number(rest)
        unit = rest[len(number) : len(number) + 1]
        if not number or not unit or unit not in units:
            raise ValueError(
                f"{text!r} is not a duration: a number and s, m, h, d or w, such as 24h"
            )
        seconds += float(number) * _SECONDS[unit]
        units, rest = units.partition(unit)[2], rest[len(number) + 1 :]
        if not rest:
            break
    if seconds > _LONGEST:
        raise ValueError(f"{text!r} is more than a hundred years")
    return seconds


def format_duration(seconds: float) -> str:
    """Write a duration as `parse_duration` reads it: `1h30m`."""
    words = []
    for unit, length in _SECONDS.items():
        if seconds >= length and unit != "s":
            words.append(f"{seconds // length:g}{unit}")
            seconds %= length
    if seconds or not words:
        words.append(f"{seconds:g}s")
    return "".join(words)


def parse_size(text: str) -> int:
    """Return the bytes of `512M`, `2G`, `8k` or `1000` (powers of 1024).

    Raises ValueError with what is wrong.
    """
    words = text.strip().upper()
    number = _leading_number(words)
    unit = words[len(number) :].removesuffix("B").removesuffix("I")
    if not number or unit not in _BYTES:
        raise ValueError(f"{text!r} is not a size: a number and K, M, G or T, such as 512M")
    return int(float(number) * _BYTES[unit])


def _leading_number(text: str) -> str:
    """Return the number at the start of a text: up to 15 digits, and 6 behind a point."""
    digits = "0123456789"  # isdigit() also takes those of other scripts
    whole = text[: len(text) - len(text.lstrip(digits))]
    rest = text[len(whole) :]
    fraction = ""
    if rest.startswith("."):
        fraction = rest[1 : len(rest) - len(rest[1:].lstrip(digits))]
        if not fraction:
            return ""
    if not whole or len(whole) > 15 or len(fraction) > 6:
        return ""
    return f"{whole}.{fraction}" if fraction else whole
