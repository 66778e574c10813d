"""From an exception of Ruby's to the error that is recorded."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruby.half import FOLDER, HYPOTHESIS, LOADER, RUBY, Half, without_ruby
from support import PATIENCE, write

from autotask import failures

pytest.importorskip("hypothesis")

from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = without_ruby

PROGRAM = """
%w[run failures].each { |name| AutotaskAgent.load(name) }
WITH, WITHOUT = [true, false].map { |messages| Struct.new(:messages).new(messages) }

def described(code, settings = WITH)
  eval(code, TOPLEVEL_BINDING.dup, "Rakefile", 1)
rescue Exception => problem
  AutotaskAgent::Failures.describe(problem, settings)
end

def without_messages(code)
  described(code, WITHOUT)
end

def masked(text)
  AutotaskAgent::Failures.masked(text)
end

def where(frames)
  problem = RuntimeError.new("x")
  problem.set_backtrace(frames) if frames
  AutotaskAgent::Failures.describe(problem, WITH)["where"]
end

def folders
  RbConfig::CONFIG.values_at("rubylibdir", "rubyarchdir")
end
"""
CLASS = "raise Class.new(StandardError) { def %s; %s; end }"
DESCRIBED = [
    ("raise ArgumentError, 'no such shop'", "ArgumentError", "no such shop"),
    ("raise 'a' \"\\nb\"", "RuntimeError", "a\nb"),
    ("1 / 0", "ZeroDivisionError", "divided by 0"),
    ("raise 'password=hunter2'", "RuntimeError", "password=***"),
    (
        "module Shop; class Closed < StandardError; end; end; raise Shop::Closed, 'x'",
        "Shop::Closed",
        "x",
    ),
    ("raise NotImplementedError, 'x'", "NotImplementedError", "x"),
    ("raise Interrupt", "Interrupt", ""),
    ("abort_text = SystemExit.new(3, 'no shop'); raise abort_text", "SystemExit", "no shop"),
    # a message that says nothing but the class
    ("raise ArgumentError", "ArgumentError", ""),
    ("raise ''", "RuntimeError", ""),
    # a class without a name
    ("raise Class.new(ArgumentError), 'x'", "ArgumentError", "x"),
    ("raise Class.new(Class.new(IOError)), 'x'", "IOError", "x"),
    (CLASS % ("self.name", "raise"), "StandardError", None),
    (CLASS % ("class", "nil"), "StandardError", None),
    ("class Renamed < IOError; def self.name; 3; end; end; raise Renamed, 'x'", "Renamed", "x"),
    # a message that cannot be had
    (CLASS % ("message", "raise 'x'"), "StandardError", ""),
    (CLASS % ("to_s", "raise 'x'"), "StandardError", ""),
    (CLASS % ("message", "raise NotImplementedError"), "StandardError", ""),
    (CLASS % ("message", "message"), "StandardError", ""),
    (CLASS % ("message", "nil"), "StandardError", ""),
    (CLASS % ("message", ":x"), "StandardError", ""),
    (CLASS % ("message", "BasicObject.new"), "StandardError", ""),
    # one of its own
    (CLASS % ("message", "'mine'"), "StandardError", "mine"),
    (CLASS % ("to_s", "'mine'"), "StandardError", "mine"),
    (CLASS % ("method(*)", "raise"), "StandardError", None),
    ("raise IOError.new({ a: 1 }.keys)", "IOError", "[:a]"),
    ("raise IOError.new('x').freeze", "IOError", "x"),
    (
        "class S < String; def encoding; raise; end; def byteslice(*); end; end; raise S.new('x')",
        "RuntimeError",
        "x",
    ),
    # in another encoding
    ("raise 'caf\u00e9'", "RuntimeError", "caf\u00e9"),
    ("raise 'caf\u00e9'.encode('ISO-8859-1')", "RuntimeError", "caf\u00e9"),
    ("raise 'caf\u00e9'.encode('UTF-16LE')", "RuntimeError", "caf\u00e9"),
    ("raise '\u6f22'.encode('Shift_JIS')", "RuntimeError", "\u6f22"),
    ("raise 'caf\u00e9'.b", "RuntimeError", "caf\u00e9"),
    ("raise 'caf\u00e9'.dup.force_encoding('US-ASCII')", "RuntimeError", "caf\u00e9"),
    ('raise "caf\\xe9 x"', "RuntimeError", "caf\ufffd x"),
    ('raise "caf\\xe9 x".b', "RuntimeError", "caf\ufffd x"),
    ('raise "x\\x81".dup.force_encoding("Shift_JIS")', "RuntimeError", "x\ufffd"),
    ("raise 'x'.dup.force_encoding('UTF-7')", "RuntimeError", "x"),
    # huge
    ("raise 'x' * 500", "RuntimeError", "x" * 500),
    ("raise 'x' * 501", "RuntimeError", "x" * 497 + "..."),
    ("raise 'x' * 10_000_000", "RuntimeError", "x" * 497 + "..."),
    ("raise '\u6f22' * 10_000_000", "RuntimeError", "\u6f22" * 497 + "..."),
    ("raise ('\u6f22' * 1_000_000).encode('UTF-16BE')", "RuntimeError", "\u6f22" * 497 + "..."),
    ("def self.deep; deep; end; deep", "SystemStackError", "stack level too deep"),
    # without what did_you_mean and error_highlight add
    ("[].frist", "NoMethodError", None),
    ("{ abc: 1 }.fetch(:abd)", "KeyError", "key not found: :abd"),
    ("class Own < NameError; def to_s; 'mine'; end; end; raise Own", "Own", "mine"),
]


@pytest.fixture(scope="module")
def ruby() -> Iterator[Half]:
    process = Half(PROGRAM)
    yield process
    process.close()


@pytest.mark.parametrize(("code", "kind", "message"), DESCRIBED, ids=lambda case: ascii(case)[:60])
def test_an_exception_is_told_by_its_class_and_its_own_message(
    ruby: Half, code: str, kind: str, message: str | None
) -> None:
    told = ruby("described", code)
    assert told["type"] == kind
    if message is not None:
        assert told["message"] == message
    assert "Did you mean" not in told["message"]
    assert "^" not in told["message"]
    assert ruby("without_messages", code).keys() <= {"type", "where"}


@pytest.mark.parametrize(
    "options", [(), ("--disable-did_you_mean",), ("--disable-error_highlight",)]
)
def test_a_suggestion_of_ruby_is_no_part_of_a_message(options: tuple[str, ...]) -> None:
    ruby = Half(PROGRAM, *options)
    for code in ("[1].frist", "nightyl", "Sting", "{ abc: 1 }.fetch(:abd)", "nil.upcase"):
        told = ruby("described", f"nightly = 1; {code}")
        assert told["message"]
        assert "\n" not in told["message"]
        assert "Did you" not in told["message"]
    ruby.close()


@settings(max_examples=300, **HYPOTHESIS)
@given(
    st.text()
    | st.builds(
        lambda text, times, end: text * times + end,
        st.sampled_from(["x", "x ", "\u6f22\n", "password=hunter2 ", "x" * 999 + " ", "token="]),
        st.integers(0, 25_000),
        st.sampled_from(["", " ", "y", "***", "password=" + "h" * 3000]),
    )
)
def test_a_message_is_cut_as_in_python(ruby: Half, text: str) -> None:
    assert ruby("masked", text) == failures.masked(text)


# --- where ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frames", "where"),
    [
        (None, None),
        ([], None),
        (["Rakefile:3:in `block in <top (required)>'"], "Rakefile:3"),
        (["Rakefile:3"], "Rakefile:3"),
        (["(eval):1:in `f'", "Rakefile:3"], "(eval):1"),
        (["(eval at /srv/Rakefile:7):1:in 'f'"], "(eval at /srv/Rakefile:7):1"),
        (["-e:1:in `<main>'"], "-e:1"),
        (["C:/shop/Rakefile:3:in `f'"], "C:/shop/Rakefile:3"),
        (["/srv/a:b/Rakefile:3:in `f'"], "/srv/a:b/Rakefile:3"),
        (["/srv/a b\n/Rakefile:3:in `f'"], "/srv/a b\n/Rakefile:3"),
        (["/srv/caf\udce9/Rakefile:3:in `f'"], "/srv/caf?/Rakefile:3"),
        (["what the program says", "", "3:in", "Rakefile:3"], "Rakefile:3"),
        (["<internal:kernel>:18:in `loop'", "Rakefile:3"], "Rakefile:3"),
        (["LIBRARY/json/common.rb:216:in `parse'", "/srv/a.rb:1"], "/srv/a.rb:1"),
        (["ARCHITECTURE/x.rb:2:in `parse'", "/srv/a.rb:1"], "/srv/a.rb:1"),
        (["/x/gems/rake-13.0.6/lib/rake/file_utils.rb:67:in `f'", "Rakefile:3"], "Rakefile:3"),
        (["/x/bundler/gems/rails-0123456789ab/activerecord/x.rb:1", "a:3"], "a:3"),
        (["/usr/lib/ruby/vendor_ruby/rake/task.rb:281:in `f'", "Rakefile:3"], "Rakefile:3"),
        (["/usr/lib/ruby/vendor_ruby/bundler.rb:281:in `f'", "Rakefile:3"], "Rakefile:3"),
        (["/x/gems/activerecord-7.1.0/lib/active_record.rb:1", "a:3"], "a:3"),
        (["(autotask)/bin/rake:4:in `execute'", "a:3"], "a:3"),
        (["OURS/recorder.rb:4:in `execute'", "a:3"], "a:3"),
        (["/x/gems/rake-13.0.6/exe/rake:27:in `<top>'", "/usr/bin/rake:25:in `load'"], None),
        # a gem that is not a framework can be the place
        (["/x/gems/pg-1.5.4/lib/pg.rb:1:in `f'", "a:3"], "/x/gems/pg-1.5.4/lib/pg.rb:1"),
        (["/x/gems/rake-compiler-1.2/lib/a.rb:1", "a:3"], "/x/gems/rake-compiler-1.2/lib/a.rb:1"),
        (["/srv/rake/tasks.rb:1", "a:3"], "/srv/rake/tasks.rb:1"),
        (["/srv/bin/nightly:1", "a:3"], "/srv/bin/nightly:1"),
    ],
    ids=lambda case: ascii(case)[:60],
)
def test_an_exception_comes_from_the_innermost_frame_outside_frameworks_and_rubys_library(
    ruby: Half, frames: list[str] | None, where: str | None
) -> None:
    library, architecture = ruby("folders")
    folders = {"LIBRARY": library, "ARCHITECTURE": architecture, "OURS": str(FOLDER / "autotask")}
    for name, folder in folders.items():
        frames = frames and [frame.replace(name, folder) for frame in frames]
    assert ruby("where", frames) == where


def test_an_exception_that_was_never_raised_has_no_place(ruby: Half) -> None:
    code = "$never = RuntimeError.new('x'); def $never.backtrace; 3; end; raise IOError"
    assert ruby("described", code)["where"] == "Rakefile:1"


def test_a_file_with_a_line_is_the_place_of_a_real_failure(tmp_path: Path) -> None:
    source = write(
        tmp_path / "nightly.rb",
        f"""{LOADER}
        %w[run failures].each {{ |name| AutotaskAgent.load(name) }}
        require "json"
        def parse
          JSON.parse("{{")
        end
        begin
          [1].each {{ parse }}
        rescue JSON::ParserError => problem
          print AutotaskAgent::Failures.describe(problem, Struct.new(:messages).new(true))["where"]
        end
        """,
    )
    line = source.read_text().splitlines().index('          JSON.parse("{")') + 1
    done = subprocess.run(
        [RUBY, "-w", source], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert (done.stdout, done.stderr) == (f"{source}:{line}", "")
