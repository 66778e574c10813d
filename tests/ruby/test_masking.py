"""The Ruby half hides what the Python half hides, and leaves what it leaves."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator

import pytest
from ruby import half, ruby_patterns
from ruby.half import Half, without_ruby
from secrets_table import PAGE
from test_masking import INNOCENT, SHAPES

from autotask.masking import ROWS, WORDS, hide

pytest.importorskip("hypothesis")

from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = without_ruby

PROGRAM = """
AutotaskAgent.load("masking")
def hide(text)
  AutotaskAgent::Masking.hide(text)
end
def hide_one(pattern, text)
  hints = AutotaskAgent::Patterns::ROWS.find { |_, known| known == pattern }.first
  raise "no such row" unless hints
  text.gsub(Regexp.new(pattern)) { AutotaskAgent::Masking.send(:masked, $~) }
end
def without(pattern, text)
  text.gsub(Regexp.new(pattern), "")
end
ALL = [*0..0xd7ff, *0xe000..0x10ffff].pack("U*")
def members(pattern)
  ALL.scan(Regexp.new(pattern)).join
end
# The letters that this Ruby's Unicode has.
def known
  ALL.gsub(/\\p{Cn}/, "")
end
"""
EXAMPLES = [
    *(text for row in ROWS for text in row[3:]),
    *(shape[0] for shape in SHAPES),
    *INNOCENT,
    *re.findall(r"`+([^`\n]+)`", PAGE.read_text()),
]
ALL = "".join(map(chr, (*range(0xD800), *range(0xE000, 0x110000))))
LONGEST = 20_000  # characters that are searched
HINTS = [hint for row in ROWS for hint in row[1]]


@pytest.fixture(scope="module")
def ruby() -> Iterator[Half]:
    process = Half(PROGRAM)
    yield process
    process.close()


def test_the_patterns_are_made_from_the_rows_of_the_python_half() -> None:
    assert ruby_patterns.FILE.read_text() == ruby_patterns.page()


@pytest.mark.parametrize("text", dict.fromkeys(EXAMPLES), ids=lambda text: ascii(text[:60]))
def test_an_example_is_masked_as_in_python(ruby: Half, text: str) -> None:
    assert ruby("hide", text) == hide(text)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_only_its_own_row_masks_the_example_of_a_row(
    ruby: Half, row: tuple[str, tuple[str, ...], str, str, str]
) -> None:
    _, _, pattern, example, masked = row
    assert ruby("hide_one", ruby_patterns.translated(pattern), example) == masked


# What patterns know apart: words of Unicode, spaces, digits, other cases of ASCII's letters.
ODD = st.sampled_from("éßñжä漢ªº²½Ⅷ௧٣߁\u0130\u0131\u017f\u212a\u0301\u200d\u203f")
SPACES = st.sampled_from(" \t\n\r\v\f\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2003\u2028\u202f\u205f\u3000")
MARKS = st.sampled_from("\"'\\`:=;,.&|/@%?#()[]{}<>*-_~$+")
PIECES = st.sampled_from([piece for text in EXAMPLES for piece in re.findall(r"\w+|\W", text)])
TEXTS = st.lists(
    ODD
    | SPACES
    | MARKS
    | st.sampled_from([*HINTS, *map(str.upper, HINTS)])
    | PIECES
    | st.sampled_from(sorted(WORDS)),
    max_size=30,
).map("".join)


@st.composite
def changed(draw: st.DrawFn) -> str:
    """Return an example with something odd in some places."""
    text = draw(st.sampled_from(EXAMPLES))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(text)))
        removed = draw(st.integers(0, 2))
        text = text[:place] + draw(ODD | SPACES | MARKS) + text[place + removed :]
    cases: list[Callable[[str], str]] = [str, str.upper, str.title, str.swapcase]
    return draw(st.sampled_from(cases))(text)


@settings(max_examples=700, **half.HYPOTHESIS)
@given(changed() | TEXTS)
def test_any_text_is_masked_as_in_python(ruby: Half, text: str) -> None:
    assert ruby("hide", text) == hide(text)


@pytest.mark.parametrize("name", ["w", "s", "d"])
def test_each_letter_of_unicode_belongs_to_the_same_sets(ruby: Half, name: str) -> None:
    known = [letter for letter in ruby("known") if unicodedata.category(letter) != "Cn"]
    members = ruby("members", ruby_patterns.written(f"\\{name}"))
    assert set(members).intersection(known) == set(re.findall(f"\\{name}", "".join(known)))
    others = ruby("without", ruby_patterns.written(f"\\{name.upper()}"), "".join(known))
    assert others == re.sub(f"\\{name.upper()}", "", "".join(known))


@pytest.mark.parametrize("letter", "akis")
def test_the_same_letters_are_alike_if_case_does_not_count(ruby: Half, letter: str) -> None:
    for pattern in (f"(?i){letter}", f"(?i)[{letter}]", f"(?i)[!-{letter}]"):
        assert ruby("members", ruby_patterns.written(pattern)) == "".join(re.findall(pattern, ALL))
    pattern = f"(?i)[^{letter}]"
    assert ruby("without", ruby_patterns.written(pattern), ALL) == re.sub(pattern, "", ALL)


@pytest.mark.parametrize(
    ("pattern", "texts"),
    [
        (r"(a)(?P<q>b)?(?(q)c|d)", ("abc", "abd", "ad", "ac")),
        (r"(a)(?P<q>b)?(?(q)c)e", ("abce", "abe", "ae", "ace")),
        (r"(a)(?P<e>b|c)(?i:(?P=e))", ("abB", "acc", "abc")),
        (r"(a)(?i:b(?-i:c))", ("aBc", "abC", "abc")),
        (r"(a)b{2}?c{1,2}?d{2,}?", ("abbcdd", "abcdd", "abbccddd")),
        (r"(a)(?:b|cd)+(?<=d)", ("abcd", "ab", "acdb")),
        (r"()\bé", ("é", "aé", "-é", "1é", "\u0301é")),
        (r"()é\b", ("é", "éa", "é-", "é\u0301")),
        (r"(a)[\s\S]\Z", ("a\n", "ab", "ab\n")),
        (r"(a)[^\W\d]", ("a1", "ab", "a-", "a_")),
    ],
)
def test_the_syntax_of_a_pattern_is_translated(
    ruby: Half, pattern: str, texts: tuple[str, ...]
) -> None:
    for text in texts:
        assert ruby("without", ruby_patterns.written(pattern), text) == re.sub(pattern, "", text)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_long_text_does_not_hold_the_search_up(ruby: Half, row: tuple[str, ...]) -> None:
    for piece in (row[3], *row[1], *(hint + " " for hint in row[1])):
        text = (piece * (LONGEST // len(piece) + 1))[:LONGEST]
        assert ruby("hide", text) == hide(text)
