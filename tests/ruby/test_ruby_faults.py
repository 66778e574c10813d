"""A fault anywhere in our Ruby code does not disturb the program.

Each line, call and block of ours that a program reaches is made to fail, one at a time: the
program's output and status are as without us. Runs may be missing then, but none is wrong.
"""

from __future__ import annotations

import os
import re
import shutil
import zlib
from collections.abc import Iterator

import pytest
from ruby.faults import DOOR, NOTE, NOTE_ALL, Program, Seen, Server

pytestmark = pytest.mark.swallows
FAULTS = os.environ.get("FAULTS")  # "all" kinds, or "everywhere": in each program, too
KINDS = (
    *("StandardError", "Errno", "NoMemoryError", "SystemStackError", "LoadError"),
    *("StandardError once", "Errno once", "NoMemoryError once", "hangs"),
)
RUBY = shutil.which("ruby")

RAKEFILE = r"""
require "timeout"
$stdout.sync = true
def attempt(what)
  puts "#{what} returned #{yield.inspect}"
rescue Exception => problem
  puts "#{what} raised #{told(problem)}"
end
def told(problem)
  return unless problem
  frames = problem.backtrace.grep_v(/\(autotask\)|fault_server/)
  [problem.class, problem.message, frames, told(problem.cause)].inspect
end
task(:ok) { puts "ok" }
task(:arguments, [:first, :rest]) { |task, args| puts task.name, args.to_a.inspect }
task(:boom) { raise ArgumentError, "boom password=hunter2" }
task(:exit0) { exit 0 }
task(:exit3) { exit 3 }
task(:abort) { abort "abort text" }
task(:exits) { begin; raise "first"; rescue; exit 5; end }
task(:interrupt) { raise Interrupt }
task(:sh3) { sh "exit 3", verbose: false }
task(:sh_ok) { sh "true", verbose: false }
task(:pre => :ok) { puts "pre" }
task(:badpre => :boom) { puts "never" }
task(:deeppre => :badpre) { puts "never" }
task(:missingpre => :nosuch) { puts "never" }
task(:noactions => [:ok, :pre])
task(:noactionsbad => [:boom])
task(:circ1 => :circ2) { }
task(:circ2 => :circ1) { }
task(:nested) { Rake::Task[:boom].execute }
task(:rescued) { begin; Rake::Task[:boom].execute; rescue => e; puts "rescued #{e.class}"; end }
task(:twice) { 2.times { Rake::Task[:ok].execute } }
task(:throws) { throw :out, "thrown" }
task(:late) { Timeout.timeout(0.01) { sleep 5 } }
task(:thread) { Thread.new { Rake::Task[:ok].execute }.value }
task(:fiber) { Fiber.new { Rake::Task[:ok].execute }.resume }
task("odd|name\n#x") { puts "odd" }
task("\u00e9") { raise "\xfe\xe8 \u00e8".b.force_encoding("UTF-8") }
multitask(:multi => %w[m1 m2]) { puts "multi" }
multitask(:multibad => %w[m1 boom]) { puts "never" }
2.times { |number| task("m#{number + 1}") { nil } }
file("made") { |task| touch task.name, verbose: false }
file("here") { puts "never" }
namespace(:db) { task(:migrate) { puts "migrate" } }
task(:environment) { nil }
NAMES = %w[ok arguments boom exit0 exit3 abort exits interrupt sh3 sh_ok pre badpre deeppre
  missingpre noactions noactionsbad circ1 nested rescued twice late thread fiber multi multibad made
  here db:migrate environment] + ["odd|name\n#x", "\u00e9"]
task(:many) do
  NAMES.each do |name|
    attempt(name) { Rake::Task[name].invoke("first", "second") }
    Rake::Task.tasks.each(&:reenable)
  end
  attempt("throws") { catch(:out) { Rake::Task[:throws].invoke } }
end
task(:exitbang) { exit! 4 }
task(:killed) { Process.kill("KILL", Process.pid); sleep 5 }
task(:term) { Process.kill("TERM", Process.pid); sleep 5 }
task(:exec) { exec "echo executed" }
task(:badexec) { attempt("exec") { exec "/nowhere" } }
task(:forks) do
  [-> { Rake::Task[:ok].execute }, -> { Rake::Task[:exit3].execute }, -> { exit!(6) },
   -> { Rake::Task[:killed].execute }].each do |child|
    Process.wait(fork { child.call })
    puts $?.inspect[/ .*/]
  end
  IO.popen("-") { |io| io ? puts(io.read) : Rake::Task[:ok].execute }
  puts Rake::Task[:ok].execute.inspect
end
task(:signals) do
  trap("USR1") { puts "signal"; Rake::Task[:ok].execute }
  Process.kill("USR1", Process.pid)
  sleep 0.001
  trap("TERM") { exit 9 }
  Process.kill("TERM", Process.pid)
  sleep 5
end
task(:at_exit) do
  at_exit { puts "second #{$!.inspect}"; attempt("ok") { Rake::Task[:ok].execute } }
  at_exit { puts "first #{$!.inspect}"; exit 8 }
  Thread.new { sleep }
  raise "at the end"
end
"""
FILES = (("Rakefile", RAKEFILE), ("here", ""))
PROCESS = (("AUTOTASK_PROCESS", "1"),)
ODD = (
    *PROCESS,
    ("AUTOTASK_TAGS", "team:shop,broken,version:1"),
    ("AUTOTASK_IGNORE", "nothing*,o[k]"),
    ("DD_DOGSTATSD_URL", "udp://127.0.0.1:9"),
    ("DD_ENV", "prod"),
    ("DD_VERSION", "1"),
    ("AUTOTASK_PARENT", "0123456789abcdef:0123456789abcdef:cron"),
)
PASSING = Program(
    ("passing",),
    (
        (
            "Rakefile",
            """
task(:ok) { nil }
task(:boom) { raise "boom" }
task(:passing) do
  trap("USR1") { raise Late, "late" }
  $ready = true
  begin
    2.times { Rake::Task[:ok].execute }
    begin
      Rake::Task[:boom].execute
    rescue RuntimeError
      sleep 0.001
    end
  rescue Late, Interrupt => problem
    puts problem.class
  end
  puts "end"
end
""",
        ),
    ),
)
PROGRAMS = {
    "passing": PASSING,
    "many": Program(("many",), FILES),
    "refused and ignored": Program(("pre", "boom"), FILES, ODD),
    "ok": Program(("ok",), FILES, PROCESS),
    "boom": Program(("boom",), FILES, PROCESS),
    "exit3": Program(("exit3",), FILES, PROCESS),
    "exit0": Program(("exit0",), FILES, PROCESS),
    "abort": Program(("abort",), FILES),
    "sh3": Program(("sh3",), FILES, PROCESS),
    "interrupt": Program(("interrupt",), FILES, PROCESS),
    "exitbang": Program(("exitbang",), FILES, PROCESS),
    "killed": Program(("killed",), FILES),
    "term": Program(("term",), FILES, PROCESS),
    "exec": Program(("exec",), FILES, PROCESS),
    "badexec": Program(("badexec",), FILES, PROCESS),
    "forks": Program(("forks",), FILES, PROCESS),
    "signals": Program(("signals",), FILES, PROCESS),
    "at_exit": Program(("at_exit",), FILES, PROCESS),
    "threads": Program(("-m", "-j2", "multi", "deeppre"), FILES),
    "unknown task": Program(("nosuch",), FILES, PROCESS),
    "unknown option": Program(("--nosuch",), FILES),
    "no Rakefile": Program(("ok",)),
    "broken Rakefile": Program(
        ("ok",), (("Rakefile", "task(:ok) { }\nraise 'broken'\n"),), PROCESS
    ),
    "list": Program(("-T", "-A"), FILES, PROCESS),
    "version": Program(("--version",), FILES, PROCESS),
    "off": Program(("boom",), FILES, (("AUTOTASK_ENABLED", "0"),)),
}
LINES = 16  # of so many lines one is made to fail, without FAULTS
# Where an error is the program's: before any `rescue` of ours. Each is a line that begins so.
INEVITABLE: dict[str, tuple[str, ...]] = {
    "(autotask)/bin/rake": ("",),
    "rubygems/defaults/ruby.rb": ("autotask_folder =", "$LOAD_PATH.", "if $LOAD_PATH", "ensure"),
    "autotask/agent.rb": (
        *("super", "AutotaskAgent.", "def ", "::Thread.handle_interrupt", "at_exit do"),
        *("problem = $!", "evaluate(", "begin"),
    ),
    "autotask/classes.rb": ("super", "AutotaskAgent.evaluate", "def method_added"),
    "autotask/guard.rb": ("def ", "::Thread.handle_interrupt", "begin", "raise if", "load("),
    "autotask/frameworks/rake.rb": (
        *("def call", "def begin", "def succeed", "def cold", "AutotaskAgent.guarded("),
    ),
    "autotask/leaving.rb": ("",),  # else the program sees a frame of ours
    "autotask/recorder.rb": ("def leaves_something?",),
    "autotask/cut_off.rb": (
        *("def exit", "def daemon", "def exec", "yield", "AutotaskAgent.guarded", "rename("),
        *("def rename", "def hide_us", "first,", "others.", "label =", "problem.set_"),  # a frame
    ),
}
OUR_FILES = sorted(str(path.relative_to(DOOR)) for path in DOOR.rglob("*.rb"))
OUR_FILES.append("(autotask)/bin/rake")  # what stands in the place of a method of the framework


class Book:
    """What each program does without a fault, and which places it reaches."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.bare = {name: server.run(program, None) for name, program in PROGRAMS.items()}
        self.noted = {
            name: server.run(program, fault=NOTE_ALL if FAULTS else NOTE)
            for name, program in PROGRAMS.items()
        }

    def with_fault(self, name: str, place: str, kind: str) -> Seen:
        return self._server.run(PROGRAMS[name], fault=place, kind=kind)

    def has_happened(self) -> bool:
        return bool(self._server.file("happened"))

    def places(self, file: str) -> dict[str, list[str]]:
        """Return the places of a file of ours, each with the programs that reach it."""
        found: dict[str, list[str]] = {}
        for name, seen in self.noted.items():
            for place in seen.reached:
                if place.lstrip("/").partition(":")[0] == file:
                    found.setdefault(place, []).append(name)
        return found


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Book]:
    if RUBY is None or shutil.which("rake") is None:
        pytest.skip("no Ruby with rake on this machine")
    server = Server(tmp_path_factory.mktemp("faults"), RUBY)
    yield Book(server)
    server.close()


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_without_a_fault_is_as_bare(name: str, book: Book) -> None:
    assert book.noted[name].shown == book.bare[name].shown


@pytest.mark.parametrize("file", OUR_FILES)
def test_a_fault_in_our_code_does_not_disturb_the_program(file: str, book: Book) -> None:
    problems = []
    for place, names in book.places(file).items():
        for name, kind in _choice(place, names):
            seen = book.with_fault(name, place, kind)
            what = f"{name}: {kind} at {place}"
            problems += _wrong(seen, book.bare[name], book.noted[name], what)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("kind", ["signal", "interrupt", "thread"])
def test_what_is_raised_while_our_code_runs_reaches_the_program(kind: str, book: Book) -> None:
    """The handler of a signal raises, or another thread (as Timeout does): it is not swallowed."""
    problems = []
    for place in book.noted["passing"].reached:
        if "/failures.rb:" in place:
            continue  # asks an exception for its message, which may raise: that ends there
        if zlib.crc32(f"{kind} {place}".encode()) % (1 if FAULTS else LINES * 2):
            continue
        seen = book.with_fault("passing", place, kind)
        has_reached = re.search("Late|Interrupt", seen.stdout + seen.stderr)
        if book.has_happened() and not has_reached and seen.status != "2":
            problems.append(f"{place}: {seen.shown}")
    assert not problems, "\n".join(problems)


def _choice(place: str, names: list[str]) -> list[tuple[str, str]]:
    """Choose the programs and kinds for a place; without FAULTS one each, and not each line."""
    if _is_inevitable(place):
        return []
    if FAULTS == "everywhere":
        return [(name, kind) for name in names for kind in KINDS]
    number = zlib.crc32(place.encode())
    quick = [name for name in names if name != "many"] or names
    name = quick[number % len(quick)]
    if FAULTS == "all":
        return [(name, kind) for kind in KINDS]
    if place.endswith(":line:") and number // 512 % LINES:
        return []
    return [(name, KINDS[number // 64 % len(KINDS)])]


def _is_inevitable(place: str) -> bool:
    file, number, event = place.lstrip("/").split(":", 2)
    starts = INEVITABLE.get(file, ())
    if "" in starts:
        return True
    line = (DOOR / file).read_text().splitlines()[int(number) - 1].strip()
    is_definition = event == "line:" and line.startswith("def ")  # that alone cannot fail
    return is_definition or line.startswith(starts)


def _wrong(seen: Seen, bare: Seen, whole: Seen, what: str) -> list[str]:
    if not seen.looks_like(bare):
        return [f"{what}: {seen.shown} instead of {bare.shown}"]
    reasons: dict[tuple[str, str], set[str | None]] = {}
    for task, status, reason in whole.ended:
        reasons.setdefault((task, status), set()).add(reason)
    for (task, status, reason), count in seen.ended.items():
        known = reasons.get((task, status), set())
        expected = sum(whole.ended[task, status, one] for one in known)
        # Of a run whose cause is missing the reason is its own; what could not be closed is lost.
        if reason == "lost" or (task, status) == ("rake", "failure"):  # what no task is known for
            continue
        if count > expected or not (reason in known or "nested" in known or reason == "exception"):
            return [f"{what}: recorded {task!r} as {status}, {reason}: {whole.ended}"]
    return []
