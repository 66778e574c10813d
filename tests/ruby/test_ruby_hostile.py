"""Hostile places: a Ruby program there works as without the agent, and is recorded if possible."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import pytest
from ruby.faults import DOOR, Program, Seen, Server
from support import run_program, runs, write

RUBY = shutil.which("ruby") or "ruby"
RAKE = shutil.which("rake") or "rake"
pytestmark = [
    pytest.mark.skipif(
        not (shutil.which("ruby") and shutil.which("rake")), reason="no Ruby with rake"
    ),
    pytest.mark.swallows,
]
root = pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.getuid() != 0, reason="needs root on Linux"
)

TASKS = """
{before}
task(:ok) {{ puts "working" }}
task(:boom) {{ raise ArgumentError, "no goods" }}
task(:all) do
  Rake::Task[:ok].execute
  {between}
  Rake::Task[:ok].execute
  begin
    Rake::Task[:boom].execute
  rescue ArgumentError => problem
    puts problem.inspect, problem.cause.inspect
  end
  {after}
end
task(:default => :all) {{ exit 3 }}
"""
# What is recorded of them, in the order of the starts.
ALL = [
    ("all", "success"),
    ("ok", "success"),
    ("ok", "success"),
    ("boom", "failure"),
    ("default", "failure"),
]
NOBODY = 54321
FULL = """
Process.setrlimit(:NOFILE, 40)
HELD = []
begin
  loop {{ HELD << File.open("/dev/null") }}
rescue Errno::EMFILE
end
""".replace("{{", "{").replace("}}", "}")
FSIZE = 'trap("XFSZ", "IGNORE"); Process.setrlimit(:FSIZE, 100)'
AS_NOBODY = f"Process::Sys.setgid({NOBODY}); Process::Sys.setuid({NOBODY})"
OWN_CONSTANT = "class {name}; def self.load(*) raise 'theirs' end; end"
RANDOM = "srand(5)", "", "puts rand(1 << 30), Random.rand(1 << 30)"
# Before the first task, between two tasks, and after the last one. None: recorded or not.
PLACES: dict[str, tuple[str, str, str, list[tuple[str, str]] | None]] = {
    "nothing special": ("", "", "", ALL),
    # the system
    "no descriptors left": (FULL, "", "", None),
    "no descriptors left later": ("", FULL, "", None),
    "standard streams closed": ("IO.for_fd(0).close; IO.for_fd(2).close", "", "", ALL),
    "standard streams closed later": ("", "IO.for_fd(0).close; IO.for_fd(2).close", "", ALL),
    "standard output taken for a file": (
        "",
        "$stdout.flush; $stdout.reopen('mine', 'w')",
        "",
        ALL,
    ),
    "a file of no more than 100 bytes": (FSIZE, "", "", None),
    "a file of no more than 100 bytes later": ("", FSIZE, "", None),
    "umask 777": ("File.umask(0o777)", "", "", ALL),
    "another user": (AS_NOBODY, "", "", None),
    "another user later": ("", AS_NOBODY, "", None),
    "no more processes or threads": (f"Process.setrlimit(:NPROC, 0); {AS_NOBODY}", "", "", None),
    "a folder that is gone": ("Dir.mkdir('x'); Dir.chdir('x'); Dir.rmdir('../x')", "", "", ALL),
    "another folder": ("", "Dir.chdir('/')", "", ALL),
    "an environment that was emptied": ("ENV.clear", "", "", None),
    "an environment that was emptied later": ("", "ENV.clear", "", ALL),
    # the interpreter
    "garbage collected all the time": (
        "",
        "GC.stress = true; Rake::Task[:ok].execute; GC.stress = false",
        "",
        [*ALL, ("ok", "success")],
    ),
    "garbage compacted": ("", "GC.compact if GC.respond_to?(:compact)", "", ALL),
    "warmed up": ("", "Process.warmup if Process.respond_to?(:warmup)", "", ALL),
    "no garbage collection": ("GC.disable", "", "", ALL),
    "$DEBUG": ("", "$DEBUG = true", "$DEBUG = false", ALL),
    "the old global variables": (
        "$VERBOSE = nil; $, = ';'; $; = ','; $/ = 'x'; $\\ = 'y'",
        "",
        "p [1, 2].join, 'a,b c'.split",
        ALL,
    ),
    "an encoding inside": ("Encoding.default_internal = 'UTF-16LE'", "", "", ALL),
    "an encoding outside": ("Encoding.default_external = 'UTF-16LE'", "", "", None),
    "an encoding of Japan": (
        "Encoding.default_external = Encoding.default_internal = 'Shift_JIS'",
        "",
        "",
        ALL,
    ),
    "a frozen main": ("freeze", "", "", ALL),
    "frozen classes": ("", "[Object, Rake, Rake::Task, Kernel, File].each(&:freeze)", "", ALL),
    "frozen classes from the start": (
        "[Object, Rake, Rake::Task, Kernel].each(&:freeze)",
        "",
        "",
        None,
    ),
    "random numbers that are repeated": (*RANDOM, ALL),
    "the last match, status and error": (
        "",
        """
        'ab' =~ /b/
        system("exit 7")
        begin
          raise "x"
        rescue StandardError
          Rake::Task[:ok].execute
          p $!
        end
        """,
        "p $~, $?.exitstatus, $!, $@",
        [ALL[0], ALL[1], *ALL[1:]],
    ),
    "hooks for each thread and signal": (
        "",
        "",
        "p Thread.list.size, trap('TERM', 'DEFAULT'), trap('CHLD', 'DEFAULT'), trap('PIPE', nil)",
        ALL,
    ),
    "what is loaded": (
        "",
        "",
        "p $LOAD_PATH, $LOADED_FEATURES.grep_v(%r{\\.so\\z|autotask_ruby/rubygems})",
        ALL,
    ),
    "a Ractor": (
        """
        $VERBOSE = nil
        Ractor.new do
          thing = Class.new { def execute; 5; end }
          thing.define_method(:future) { 6 }
          Struct.new(:a).new(1).then { |it| it.a + thing.new.execute }
        end.take.then { |it| puts it }
        """,
        "p Ractor.new { Class.new(StandardError) { def execute; end }; 7 }.take",
        "",
        ALL,
    ),
    # the program
    "a class called Autotask": (OWN_CONSTANT.format(name="Autotask"), "", "", ALL),
    "a module called Autotask": (
        "module Autotask; class Run; end; class Settings < Struct.new(:a); end; end",
        "",
        "p Autotask::Settings.new(1), Autotask::Run.instance_methods(false)",
        ALL,
    ),
    "a constant called Autotask": ("Autotask = 1", "Autotask.succ", "p Autotask", ALL),
    "classes with our names": (
        "".join(
            OWN_CONSTANT.format(name=f"{name}; end; class Object::{name}") + "\n"
            for name in (
                "Run",
                "Outcome",
                "Settings",
                "Journal",
                "Wire",
                "Lines",
                "Failures",
                "Masking",
                "Trigger",
                "Procfs",
                "Recorder",
            )
        ),
        "",
        "",
        ALL,
    ),
    "core classes with more methods": (
        """
        class Object
          def try(*) self end
          def blank?; respond_to?(:empty?) ? empty? : !self end
          def presence; self unless blank? end
          def in?(other) other.include?(self) end
          def name; "a name of any object" end
          def id; 5 end
          def load(*) raise "not this load" end
          def run(*) raise "not this run" end
          def started; raise "not this start" end
          def settings; raise "no settings" end
          def append(*) raise "nothing to append to" end
        end
        class NilClass
          def method_missing(*) nil end
          def respond_to_missing?(*) true end
        end
        class String
          def to_proc; ->(it) { it } end
          def %(other) "formatted" end
        end
        class Hash
          def method_missing(name, *) self[name] end
        end
        class Symbol
          def call(*) self end
        end
        """,
        "",
        "",
        ALL,
    ),
    "Kernel's own methods replaced": (
        """
        module Kernel
          %i[open load rand srand sleep fork spawn warn puts].each do |name|
            real = instance_method(name)
            define_method(name) do |*args, **more, &block|
              place = caller(1, 1).first
              puts "#{name} from #{place}" if place.include?("autotask_ruby")
              real.bind(self).call(*args, **more, &block)
            end
          end
        end
        """,
        "",
        "",
        ALL,
    ),
    "a clock that a test library holds": (
        "",
        """
        class << Time
          def now; raise "no time" end
        end
        class << Process
          def clock_gettime(*) nil end
        end
        """,
        "",
        None,
    ),
    "a method_added of the program's own": (
        """
        class Object
          def self.method_added(name) super end
          def self.inherited(klass) super end
          def self.singleton_method_added(name) super end
        end
        class Thing; def execute; end; end
        class Other < Thing; def execute; super end; end
        """,
        "",
        "",
        ALL,
    ),
    "execute aliased by the Rakefile": (
        """
        class Rake::Task
          alias old_execute execute
          def execute(args = nil)
            puts "before #{name}"
            old_execute(args)
          end
        end
        """,
        "",
        "",
        ALL,
    ),
    "execute prepended by the Rakefile": (
        """
        Rake::Task.prepend(Module.new do
          def execute(*)
            puts "before #{name}"
            super
          ensure
            puts "after #{name}"
          end
        end)
        """,
        "",
        "",
        ALL,
    ),
    "a task of another name": (
        "class Rake::Task; def name; nil end; def to_s; :text end; end",
        "",
        "",
        None,
    ),
    "tracing": (
        "",
        "SEEN = []; TracePoint.new(:call, :raise) { |it| SEEN << it.path }.enable",
        "p SEEN.grep_v(/autotask/).uniq.size > 0",
        ALL,
    ),
    "more threads": (
        "",
        "10.times.map { Thread.new { 20.times { Rake::Task[:ok].execute } } }.each(&:join)",
        "",
        None,
    ),
    "a thread that is killed in a task": (
        """
        task(:waits) { sleep }
        """,
        """
        thread = Thread.new { Rake::Task[:waits].execute }
        sleep 0.001 until thread.status == "sleep"
        p thread.kill.join.value
        """,
        "",
        None,
    ),
    "a stack that is all but used up": (
        "task(:quiet) { nil }",
        """
        def depth(now = 0)
          depth(now + 1)
        rescue SystemStackError
          now
        end
        def dive(left)
          left.zero? ? end_of_stack : dive(left - 1)
        end
        def end_of_stack
          Rake::Task[:quiet].execute
          end_of_stack
        end
        begin
          dive(depth / 4)
        rescue SystemStackError
          puts "deep"
        end
        """,
        "",
        None,
    ),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as name:  # each user can reach it, unlike those of pytest
        os.chmod(name, 0o777)
        started = Server(Path(name), RUBY)
        yield started
        started.close()


@pytest.mark.parametrize("place", PLACES)
def test_a_task_in_a_hostile_place_runs_as_usual(place: str, server: Server) -> None:
    before, between, after, expected = PLACES[place]
    program = Program(
        (), (("Rakefile", TASKS.format(before=before, between=between, after=after)),)
    )
    bare, ours = server.run(program, None), server.run(program)
    assert ours.shown == bare.shown
    assert bare.status == str(3 << 8) or expected is None
    if expected is not None:
        assert _statuses(ours) == Counter(expected)


def _statuses(seen: Seen) -> Counter[tuple[str, str]]:
    return Counter({(task, status): count for (task, status, _), count in seen.ended.items()})


# --- our own files -------------------------------------------------------------------------------

OUR_FILES = sorted(str(path.relative_to(DOOR)) for path in DOOR.rglob("*.rb"))
DAMAGES = {
    "gone": None,
    "empty": "",
    "cut off": "module AutotaskAgent\n  class Run\n    def start(",
    "that raises": "raise NoMemoryError, 'broken'\n",
    "of another release": "module AutotaskAgent\n  module Other\n  end\nend\n",
}
PLAIN = Program((), (("Rakefile", TASKS.format(before="", between="", after="")),))


@pytest.mark.parametrize("file", OUR_FILES)
def test_a_damaged_file_of_ours_disturbs_no_task(file: str, server: Server, tmp_path: Path) -> None:
    bare = server.run(PLAIN, None)
    wrong = []
    for damage, text in DAMAGES.items():
        if damage in ("cut off", "that raises") and file.endswith("defaults/ruby.rb"):
            continue  # RubyGems itself rescues no more than a LoadError
        copy = tmp_path / damage / "autotask_ruby"
        shutil.copytree(DOOR, copy)
        (copy / file).unlink()
        if text is not None:
            (copy / file).write_text(text)
        ours = server.run(PLAIN, copy)
        if ours.shown != bare.shown:
            wrong.append(f"{damage}: {ours.shown} instead of {bare.shown}")
        if _statuses(ours) - Counter(ALL):
            wrong.append(f"{damage}: {ours.ended}")
    assert not wrong, "\n".join(wrong)


GONE = "FileUtils.rm_r('{copy}')"


@pytest.mark.parametrize("when", ["before", "between"])
def test_a_task_runs_as_usual_when_our_folder_is_gone(
    when: str, server: Server, tmp_path: Path
) -> None:
    copy = tmp_path / "autotask_ruby"
    parts = {"before": "", "between": "", "after": "", when: GONE.format(copy=copy)}
    program = Program((), (("Rakefile", TASKS.format(**parts)),))
    shown = []
    for door in (None, copy):
        shutil.copytree(DOOR, copy)
        shown.append(server.run(program, door))
    bare, ours = shown
    assert ours.shown == bare.shown
    assert bare.status == str(3 << 8)
    assert not _statuses(ours) - Counter(ALL)
    if when == "between":
        assert _statuses(ours)[("ok", "success")] == 2


# --- storms --------------------------------------------------------------------------------------

# Each round is a task of its own name; the program notes those whose body came to its end.
ROUNDS = 200
STORM = r"""
require "timeout"
$stdout.sync = true
BODIES = {}
def round
  name = "t#{Object.new.object_id}"
  Rake::Task.define_task(name) { BODY; BODIES[name] = true }.execute
end
task(:storm) do
STORM_TEXT
  File.write("bodies", BODIES.keys.join("\n"))
end
"""
SPIN = "200.times { |number| number.to_s }; Thread.pass"  # so that others get their turn
STORMS = {
    "Timeout": (
        SPIN,
        """
  hits = 0
  ROUNDS.times do |number|
    begin
      Timeout.timeout(0.001) { loop { round } }
    rescue Timeout::Error
      hits += 1
    end
  end
  puts hits
""",
    ),
    "Timeout with an error of its own": (
        SPIN,
        """
  late = Class.new(StandardError)
  hits = 0
  ROUNDS.times do |number|
    begin
      Timeout.timeout(0.001, late) { loop { round } }
    rescue late
      hits += 1
    end
  end
  puts hits
""",
    ),
    "Thread#raise": (
        SPIN,
        """
  stop = Class.new(StandardError)
  told = Queue.new
  main = Thread.current
  worker = Thread.new do
    Thread.handle_interrupt(stop => :never) do
      ROUNDS.times do |number|
        begin
          told << number
          Thread.handle_interrupt(stop => :immediate) { loop { round } }
        rescue stop
          nil
        end
      end
    end
    :all
  end
  ROUNDS.times { told.pop; sleep 0.0005; worker.raise(stop) }
  p worker.value
""",
    ),
    "Thread#kill": (
        SPIN,
        """
  ROUNDS.times do |number|
    thread = Thread.new { loop { round } }
    sleep 0.0005
    thread.kill
    thread.join(60) || abort("a thread lives on")
  end
  puts Thread.list.size
""",
    ),
    "signals that are noted": (
        SPIN,
        """
  noted = 0
  %w[USR1 USR2 HUP TERM INT].each { |name| trap(name) { noted += 1 } }
  sender = Thread.new do
    ROUNDS.times do |number|
      Process.kill(%w[USR1 USR2 HUP TERM INT][number % 5], Process.pid)
      sleep 0.0005 until noted > number
    end
  end
  round while sender.alive?
  puts noted
""",
    ),
    "signals whose handlers raise": (
        SPIN,
        """
  stop = Class.new(StandardError)
  trap("USR1") { raise stop, "stop" }
  noted = 0
  ROUNDS.times do |number|
    begin
      sender = Thread.new { sleep 0.0005; Process.kill("USR1", Process.pid) }
      loop { round }
    rescue stop
      noted += 1
      sender.join
    end
  end
  puts noted
""",
    ),
    "signals whose handlers run tasks": (
        SPIN,
        """
  noted = 0
  trap("USR1") { noted += 1; round }
  sender = Thread.new do
    ROUNDS.times do |number|
      Process.kill("USR1", Process.pid)
      sleep 0.0005 until noted > number
    end
  end
  round while sender.alive?
  puts noted
""",
    ),
    "Interrupt": (
        SPIN,
        """
  hits = 0
  ROUNDS.times do |number|
    begin
      sender = Thread.new { sleep 0.0005; Process.kill("INT", Process.pid) }
      loop { round }
    rescue Interrupt
      hits += 1
      sender.join
    end
  end
  puts hits
""",
    ),
    "throw": (
        "throw(:out) if rand(2) == 1",
        """
  ROUNDS.times { |number| catch(:out) { round } }
""",
    ),
}


@pytest.mark.parametrize("storm", STORMS)
def test_a_storm_loses_no_exception_and_tells_no_wrong_status(storm: str, server: Server) -> None:
    body, text = STORMS[storm]
    source = STORM.replace("BODY", body, 1).replace("STORM_TEXT", text)
    program = Program(("storm",), (("Rakefile", source.replace("ROUNDS", str(ROUNDS))),))
    bare, ours = server.run(program, None), server.run(program)
    assert ours.shown == bare.shown
    assert bare.status == "0"
    whole = set(server.file("bodies").splitlines())
    told = {task for (task, status, _) in ours.ended if status == "success"} - {"storm"}
    if storm != "throw":  # to leave a task by throw is no failure
        assert not told - whole
    assert len(ours.ended) > ROUNDS / 2
    if storm not in ("signals whose handlers raise", "Interrupt"):
        assert not ours.left_open


# --- command lines -------------------------------------------------------------------------------

RAKE_FOLDER = "$(ruby -e 'puts Gem::Specification.find_by_name(%q(rake)).full_require_paths')"
# A shell line, what is added to the environment, and what is recorded; None: that or less.
Cell = tuple[str, dict[str, Optional[str]], Optional[list[tuple[str, str]]]]
COMMANDS: dict[str, Cell] = {
    "closed input": ("exec rake <&-", {}, ALL),
    "closed output": ("exec rake >&-", {}, ALL),
    "closed error": ("exec rake 2>&-", {}, ALL),
    "all streams closed": ("exec rake <&- >&- 2>&-", {}, ALL),
    "output that is full": ("exec rake >/dev/full", {}, None),
    "warnings": ('exec ruby -w -W:deprecated "$RAKE"', {}, ALL),
    "debug": ('exec ruby -d "$RAKE" 2>/dev/null', {}, ALL),
    "frozen strings": ("exec rake", {"RUBYOPT": "--enable-frozen-string-literal"}, ALL),
    "locale C": ("exec rake", {"LC_ALL": "C"}, ALL),
    "a locale of Japan": ("exec rake", {"LC_ALL": None, "LANG": "ja_JP.SJIS"}, ALL),
    "an unknown locale": ("exec rake", {"LC_ALL": "xx_YY.odd"}, ALL),
    "-E binary": ('exec ruby -Eascii-8bit "$RAKE"', {}, ALL),
    "-E with another one inside": ('exec ruby -E utf-8:iso-8859-1 "$RAKE"', {}, ALL),
    "-U": ('exec ruby -U "$RAKE"', {}, ALL),
    "-Ku": ('exec ruby -Ku "$RAKE"', {}, ALL),
    "--yjit": ('exec ruby --yjit "$RAKE"', {}, ALL),
    "--jit": ('exec ruby --jit "$RAKE"', {}, ALL),
    "--disable-gems": (
        f'exec ruby --disable-gems -I"{RAKE_FOLDER}" -rrake -e "Rake.application.run"',
        {},
        [],
    ),
    "no descriptors": ("ulimit -n 12; exec rake", {}, None),
    "signals that are ignored": ('trap "" INT TERM HUP USR1 PIPE; exec rake', {}, ALL),
    "a home that is a file": ("exec rake", {"AUTOTASK_HOME": "/etc/passwd"}, []),
    "a home in /proc": ("exec rake", {"AUTOTASK_HOME": "/proc/home"}, []),
    "a home with a long name": ("exec rake", {"AUTOTASK_HOME": "/tmp/" + "x" * 5000}, []),
    "odd settings": (
        "exec rake",
        {"DD_DOGSTATSD_URL": "udp://[:x", "AUTOTASK_TAGS": "\udcff:,:", "AUTOTASK_IGNORE": "["},
        ALL,
    ),
}
AS_ROOT: dict[str, Cell] = {
    "no home at all": (
        f'exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups "$RAKE" -f "$PWD/Rakefile"',
        {"HOME": None, "AUTOTASK_HOME": None, "XDG_STATE_HOME": None},
        [],
    ),
    "a home of another user": (
        f'exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups "$RAKE" -f "$PWD/Rakefile"',
        {"AUTOTASK_HOME": "/root/home"},
        [],
    ),
    "a namespace of processes": ("exec unshare --pid --fork --mount-proc rake", {}, ALL),
    "the processes of another namespace": ("exec unshare --pid --fork rake", {}, ALL),
    "no /proc": ("exec unshare -m sh -c 'mount -t tmpfs none /proc; exec rake'", {}, ALL),
    "no /dev": ("exec unshare -m sh -c 'mount -t tmpfs none /dev; exec rake'", {}, ALL),
    "a read-only home": (
        """exec unshare -m sh -c 'mount -t tmpfs -o ro none "$AUTOTASK_HOME"; exec rake'""",
        {},
        [],
    ),
    "a home that is full": (
        """exec unshare -m sh -c 'mount -t tmpfs -o size=4k,nr_inodes=9 none "$AUTOTASK_HOME"
        head -c 4096 /dev/zero >"$AUTOTASK_HOME/filler"; exec rake'""",
        {},
        [],
    ),
}


@pytest.fixture
def anybodys() -> Iterator[Path]:
    """Return a folder that each user can reach and write to, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        yield Path(name)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_line_works_as_usual(command: str, anybodys: Path) -> None:
    _compare(COMMANDS[command], anybodys)


@root
@pytest.mark.parametrize("command", AS_ROOT)
def test_a_command_line_in_a_hostile_system_works_as_usual(command: str, anybodys: Path) -> None:
    if run_program("unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt", under="bare").status:
        pytest.skip("may not mount")
    _compare(AS_ROOT[command], anybodys)


def _compare(cell: Cell, folder: Path, door: Path = DOOR) -> None:
    line, more, expected = cell
    home = folder / "home"
    home.mkdir(mode=0o700)
    write(folder / "Rakefile", TASKS.format(before="", between="", after=""))
    env = {"RAKE": RAKE, "AUTOTASK_HOME": str(home), "AUTOTASK_PROCESS": "0", **more}
    bare, ours = (
        run_program("sh", "-c", line, under="bare", cwd=folder, env={**env, "RUBYLIB": path})
        for path in (None, str(door))
    )
    assert ours == bare
    if expected is None:
        assert not _recorded(home) - Counter(ALL)
    else:
        assert bare.status in (0, 3), bare  # --disable-gems
        assert _recorded(home) == Counter(expected)


def _recorded(home: Path) -> Counter[tuple[str, str]]:
    found = runs(home) if home.is_dir() else []
    return Counter((run["task"], run["status"]) for run in found)


@pytest.mark.parametrize("name", ["a b", "caf\udce9", "\N{ROCKET}", "a'b\"c#{1}$HOME%s", "[a]*"])
def test_our_folder_may_have_any_name(name: str, anybodys: Path) -> None:
    copy = anybodys / name / "autotask_ruby"
    shutil.copytree(DOOR, copy)
    _compare(("exec rake", {}, ALL), anybodys, copy)


@pytest.mark.parametrize(
    "path", ["{door}:", ":{door}", "{door}:{door}", "{door}/", "/nowhere:{door}:/nowhere", "door"]
)
def test_our_folder_may_have_company(path: str, anybodys: Path) -> None:
    (anybodys / "door").symlink_to(DOOR)
    _compare(("exec rake", {}, ALL), anybodys, Path(path.format(door=DOOR)))
