"""The page in a real browser: what it loads, what it shows, who can read it."""

from __future__ import annotations

import contextlib
import html.parser
import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from support import wait_until
from tool.report import sample
from tool.report.browser import Browser

from autotask.tool import output
from autotask.tool.report import gather, page
from autotask.tool.report.contents import FAILED, Detail, Point

WIDTHS = (380, 1280, 2560)
SCHEMES = ("light", "dark")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    running = Browser(tmp_path_factory.mktemp("profile"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_bytes(page.page(sample.report()).encode("utf-8", "backslashreplace"))
    return path


def test_it_loads_nothing_and_the_browser_has_no_complaint(browser: Browser, file: Path) -> None:
    browser.show(file)
    assert browser.requests() == [file.as_uri()]
    assert browser.complaints() == []


def test_what_got_into_it_could_load_and_run_nothing(browser: Browser, file: Path) -> None:
    browser.show(file)
    browser.ask("""
        window.stopped = [];
        addEventListener("securitypolicyviolation", (one) => stopped.push(one.effectiveDirective));
        const outside = "http://192.0.2.1/x";
        for (const [name, more] of [
            ["img", {src: outside}],
            ["link", {rel: "stylesheet", href: outside}],
            ["script", {textContent: "window.ran = 1"}],
            ["style", {textContent: "body {color: red}"}],
        ]) document.body.append(Object.assign(document.createElement(name), more));
        fetch(outside).catch(() => 0);
        """)
    kinds = "stopped.map((kind) => kind.replace(/-elem$/, '')).sort().join(' ')"
    with contextlib.suppress(AssertionError):  # the next line tells what is missing
        wait_until(lambda: len(browser.ask(kinds).split()) == 5, timeout=10)
    assert browser.ask(kinds) == "connect-src img-src script-src style-src style-src"
    assert browser.ask("window.ran") is None
    assert browser.blocked() == {"csp"}


class _Markup(html.parser.HTMLParser):
    """Collects the elements of a page, and their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))


def test_no_name_and_no_output_becomes_markup() -> None:
    markup = _Markup()
    markup.feed(page.page(sample.report()))
    tags = Counter(tag for tag, _ in markup.elements)
    assert (tags["script"], tags["style"], tags["img"]) == (1, 1, 0)
    for _, attributes in markup.elements:
        assert not {"src", "style", "action", "onerror", "onclick"} & set(attributes)
        assert (attributes.get("href") or "#").startswith("#")


def test_names_are_seen_as_they_are(browser: Browser, file: Path) -> None:
    browser.show(file)
    names = set(browser.ask("[...document.querySelectorAll('bdi')].map((one) => one.textContent)"))
    for name in sample.HOSTILE[:-1]:
        assert output.clean(name) in names
    kept = browser.ask("document.querySelector('article pre').textContent").splitlines()
    assert kept[1] == f"ERROR </pre><script>{sample.OWNED}</script> \\u202e"
    assert browser.ask("document.title").startswith("2 tasks failed, 1 missed, 1 late, 1 hanging")
    assert all(text.isprintable() for text in browser.ask("document.body.innerText").split())


@pytest.mark.parametrize("width", WIDTHS)
def test_the_window_never_scrolls_sideways(browser: Browser, file: Path, width: int) -> None:
    browser.show(file, width)
    root = "document.documentElement"
    assert browser.ask(f"{root}.scrollWidth") <= browser.ask(f"{root}.clientWidth") == width


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Path:
    whole = sample.report()
    tasks = [each._replace(days=[*list(each.days) * 4, *each.days[:3]]) for each in whole.tasks]
    dates = [whole.dates[-1] - timedelta(34 - number) for number in range(35)]
    path = tmp_path_factory.mktemp("month") / "month.html"
    html = page.page(whole._replace(tasks=tasks, dates=dates))
    path.write_bytes(html.encode("utf-8", "backslashreplace"))
    return path


@pytest.mark.parametrize("width", [*WIDTHS, 1600])
def test_a_month_scrolls_in_its_table_only_and_begins_with_today(
    browser: Browser, month: Path, width: int
) -> None:
    browser.show(month, width)
    root = "document.documentElement"
    assert browser.ask(f"{root}.scrollWidth") == browser.ask(f"{root}.clientWidth") == width
    first = "document.querySelector('.nights thead th + th')"
    assert browser.ask(f"{first}.querySelector('abbr').title") == "Tuesday 2026-12-01"
    assert browser.ask(f"{first}.getBoundingClientRect().right") < width
    assert browser.ask("document.querySelector('#night').clientWidth") > min(width, 1200) * 0.8


def test_no_column_of_a_month_is_cut_off_on_paper(browser: Browser, month: Path) -> None:
    paper = 700  # pixels: A4 without its margins
    browser.show(month, paper, media="print")
    ends = "[...document.querySelectorAll('.nights, .nights td, .nights thead th')]"
    browser.ask("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    right = f"Math.max(...{ends}.map((one) => one.getBoundingClientRect().right))"
    assert browser.ask(right) <= paper


def test_a_week_fits_on_a_phone(browser: Browser, file: Path) -> None:
    browser.show(file, WIDTHS[0])
    assert browser.ask(
        "[...document.querySelectorAll('.wide')].every((one) => one.scrollWidth <= one.clientWidth)"
    )


# The least contrast of texts with what is behind them, as WCAG 2 defines it.
_CONTRAST = """
(() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const linear = (value) => value <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4;
  const part = (value) => linear(value / 255);
  const light = ([r, g, b]) => .2126 * part(r) + .7152 * part(g) + .0722 * part(b);
  const contrast = (one, other) => {
    const [less, more] = [light(one), light(other)].sort((a, b) => a - b);
    return (more + .05) / (less + .05);
  };
  const behind = (node) => {
    const shape = node.closest("svg.shape");
    if (shape) return numbers(getComputedStyle(shape.firstElementChild).fill);
    for (; node; node = node.parentElement) {
      const colour = numbers(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const seen = (node) => node.checkVisibility() && !node.closest("script, style, title, .vh");
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text; (text = walker.nextNode()); ) {
    const node = text.parentElement;
    if (!text.data.trim() || !seen(node)) continue;
    const style = getComputedStyle(node);
    const colour = numbers(node.closest("svg") ? style.fill : style.color);
    if (contrast(colour, behind(node)) < 4.5) poor.push([text.data, colour, behind(node)]);
  }
  const bars = ".bar:not(.running, .inside)";
  const meaning = `${bars}, .dot, path.odd, .usual, .rate .done, .shape > :first-child`;
  for (const node of document.querySelectorAll(meaning)) {
    const colour = numbers(getComputedStyle(node).fill);
    if (seen(node) && contrast(colour, behind(node.closest("svg").parentElement)) < 3)
      poor.push([node.outerHTML, colour]);
  }
  for (const node of document.querySelectorAll(".bar.running, .bar.inside, .cross, .diamond")) {
    const colour = numbers(getComputedStyle(node).stroke);
    if (seen(node) && contrast(colour, behind(node.closest("svg").parentElement)) < 3)
      poor.push([node.outerHTML, colour]);
  }
  return poor;
})()
"""


@pytest.mark.parametrize("media", ["screen", "print"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_contrast_is_enough(browser: Browser, file: Path, scheme: str, media: str) -> None:
    browser.show(file, scheme=scheme, media=media)
    browser.ask("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    is_dark = scheme == "dark" and media == "screen"
    colour = browser.ask("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", colour))) < 300) == is_dark
    assert browser.ask(_CONTRAST) == []


def test_only_what_overlapped_or_hangs_names_those_beside_it(browser: Browser, file: Path) -> None:
    whole = sample.report()
    kinds = {each.key.task: {one.kind for one in each.troubles} for each in whole.tasks}
    lanes = [lane._replace(beside=[whole.tasks[-1]]) for lane in whole.lanes]
    beside = file.with_name("beside.html")
    html = page.page(whole._replace(lanes=lanes))
    beside.write_bytes(html.encode("utf-8", "backslashreplace"))
    browser.show(beside)
    named = browser.ask(
        "[...document.querySelectorAll('.line small')]"
        ".map((one) => one.closest('tr').querySelector('bdi').textContent)"
    )
    right = [name for name, of in kinds.items() if of & {"overlap", "hanging"}]
    assert sorted(named) == sorted(map(output.clean, right))
    titles = browser.ask("[...document.querySelectorAll('.lane')].map((one) => one.textContent)")
    assert all("; beside shop.49" in title for title in titles)
    assert "and 21 more tasks</p>" in html


_SHOWN = """
[...document.querySelectorAll("tbody tr, li:has(> h3), article")]
  .filter((one) => one.checkVisibility()).map((one) => one.querySelector("bdi").textContent)
"""


def test_the_filter_leaves_the_tasks_whose_name_has_it(browser: Browser, file: Path) -> None:
    browser.show(file)
    before = browser.ask(_SHOWN)
    browser.ask("document.getElementById('filter').focus()")
    browser.type("SHOP.4")
    assert set(browser.ask(_SHOWN)) == {f"shop.{number}" for number in range(40, 50)}
    assert browser.ask("document.getElementById('found').value") == "10 of 62 tasks"
    browser.ask("document.execCommand('selectAll')")
    browser.type("backup")
    assert set(browser.ask(_SHOWN)) == {"backup.sh"}
    counts = (
        "[...document.querySelectorAll('.group h2, summary')]"
        ".filter((one) => one.checkVisibility()).map((one) => one.textContent)"
    )
    assert browser.ask(counts) == ["Failed 1"]
    browser.ask("document.execCommand('selectAll')")
    browser.type("shop.49")
    assert browser.ask(counts) == ["and 1 more task"] * 3
    browser.ask("document.execCommand('selectAll'); document.execCommand('delete')")
    assert browser.ask(_SHOWN) == before


def test_without_scripts_all_is_there_but_the_filter(browser: Browser, file: Path) -> None:
    browser.show(file, scripts=False)
    roles = Counter(role for role, _ in browser.tree())
    assert roles["searchbox"] == roles["search"] == 0
    names = [name for role, name in browser.tree() if role == "heading"]
    for name in ("Failed 2", "Late or missed 2", "Last night", "Nights", "Task by task"):
        assert name in names


def test_the_counts_of_the_headline_lead_to_their_groups(browser: Browser, file: Path) -> None:
    browser.show(file)
    links = browser.ask(
        "[...document.querySelectorAll('h1 a')].map((one) =>"
        " [one.textContent, document.querySelector(one.hash + ' h2').textContent])"
    )
    assert links == [
        ["2 tasks failed", "Failed 2"],
        ["1 missed", "Late or missed 2"],
        ["1 late", "Late or missed 2"],
        ["1 hanging", "Hanging, slow or overlapping 5"],
    ]


def test_a_card_names_what_runs_what_was_retried_and_when_a_failure_started() -> None:
    whole = sample.report()
    tasks = [whole.tasks[0]._replace(retried=3), *whole.tasks[1:]]
    html = page.page(whole._replace(tasks=tasks))
    assert "3 attempts retried, 1 still running (" in html
    assert "<span>started Tue 1 Dec " in html


def test_a_link_to_a_task_opens_the_fold_that_it_is_in(browser: Browser, file: Path) -> None:
    browser.show(file)
    articles = "[...document.querySelectorAll('article')]"
    quiet = f"{articles}.find((one) => one.textContent.includes('shop.45'))"
    assert not browser.ask(f"{quiet}.checkVisibility()")
    browser.ask(f"location.hash = {quiet}.id; new Promise((done) => setTimeout(done))")
    assert browser.ask(f"{quiet}.checkVisibility()")


def test_a_screen_reader_has_landmarks_headings_tables_and_pictures_in_words(
    browser: Browser, file: Path
) -> None:
    browser.show(file)
    tree = browser.tree()
    roles = Counter(role for role, _ in tree)
    for landmark in ("banner", "navigation", "main", "contentinfo", "search"):
        assert roles[landmark] == 1, landmark
    assert roles["table"] >= 3
    assert roles["rowheader"] > 60
    assert roles["columnheader"] > 10
    unnamed = [role for role, name in tree if role in ("image", "link", "region") and not name]
    assert unnamed == []
    pictures = [name for role, name in tree if role == "image"]
    assert any(re.fullmatch(r"was due \d\d:\d\d, did not run", name) for name in pictures)
    assert any("3 runs, failed" in name for name in pictures)
    assert [name for role, name in tree if name == "4 failed"]
    levels = browser.ask(
        "[...document.querySelectorAll('h1, h2, h3, h4')].map((h) => +h.tagName[1])"
    )
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:]))
    assert browser.ask("document.documentElement.lang") == "en"


def test_the_keyboard_reaches_the_report_first_and_shows_where_it_is(
    browser: Browser, file: Path
) -> None:
    browser.show(file)
    browser.press("Tab")
    active = "document.activeElement"
    assert browser.ask(f"{active}.textContent") == "Skip to the report"
    assert browser.ask(f"{active}.getBoundingClientRect().left") >= 0
    assert browser.ask(f"getComputedStyle({active}).outlineStyle") == "solid"
    browser.press("Tab")
    assert browser.ask(f"{active}.getAttribute('href')") == "#failed"


def test_it_can_be_printed(browser: Browser, file: Path) -> None:
    browser.show(file, media="print")
    assert not browser.ask("document.querySelector('nav').checkVisibility()")
    assert browser.ask("document.querySelector('#troubles').checkVisibility()")
    browser.show(file)
    assert browser.paper().startswith(b"%PDF")


def test_two_thousand_tasks_fit_into_five_mebibytes_with_all_their_failures() -> None:
    failures = [sample.record("b1" * 8, "x", output=end * 10_000) for end in ("&" * 90, "y\n") * 2]
    points = [Point(sample.NOW - n, 60.0 + n, FAILED) for n in range(50)]
    many = [
        sample.task(f"shop.department.{n:04}.nightly_import")._replace(number=n, failed=n % 3)
        for n in range(2000)
    ]
    details = {each.key: Detail(failures, points) for each in many[: gather.DETAILED]}
    whole = sample.report()._replace(tasks=many, details=details)
    assert len(page.page(whole).encode()) < 5 << 20
