"""The table of test_rake_truth.py: endings of Rake tasks, and their runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from support import PYTHON

COMMON = """\
task(:ok) { puts "ok" }
task(:boom) { raise ArgumentError, "boom password=hunter2" }
"""


_TESTS = (  # what two test frameworks say about chance and time
    (r"(--seed|seed:?) \d+", r"\1"),
    (r"[\d.]+(?= (seconds|runs/s|assertions/s|tests/s|s\b))|in [\d.]+s", ""),
    (r"in \d+\.\d+s|\d+\.\d+ (runs|assertions|tests)/s", ""),
)
_SHOP = """\
import click, subprocess
@click.group()
def cli(): pass
@cli.command()
def task():
    print("task", flush=True)
    if subprocess.run(WORDS).returncode:
        raise ValueError("no stock")
if __name__ == "__main__":
    cli()
"""


@dataclass(frozen=True)
class Row:
    """A command and what the journal tells of it.

    *runs* are `TASK STATUS REASON CODE SIGNAL ERROR PLACE by CAUSE in PARENT`, each as far as it is
    so; a task that is in no other is in the process. *process* is the same for the process's run,
    without a name; usually its status tells it.
    """

    words: str
    runs: tuple[str, ...] = ()
    code: str = ""
    process: str | None = None
    path: tuple[str, ...] | None = None  # the same without a launcher
    path_process: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    masks: tuple[tuple[str, str], ...] = ()  # what differs from run to run
    frame: str | None = None  # our frame, which Rake does not suppress
    status: int | None = None  # if it is the point of the row
    launched: bool = False  # also by autotask-run, which has something to say; PRODUCTS=all: each
    program: str = "rake"


def _row(words: str, *runs: str, code: str = "", **more: object) -> Row:
    return Row(words, runs, code, **more)  # type: ignore[arg-type]


_BOOM = "boom failure exception ArgumentError Rakefile:2"

# Exceptions. Rake's own status is 1 whatever it was.
ROWS = {
    "success": _row("ok", "ok success", launched=True),
    "several tasks": _row("ok other ok", "ok success", "other success", code="task(:other) { }"),
    "exception": _row("boom", _BOOM, launched=True),
    "what follows a failure is no run": _row(
        "ok boom other", "ok success", _BOOM, code="task(:other) { }"
    ),
    "exception with a cause": _row(
        "t",
        "t failure exception KeyError Rakefile:3",
        code='task(:t) { begin; 1 / 0; rescue ZeroDivisionError; raise KeyError, "gone"; end }',
    ),
    "exception of the program's own class": _row(
        "t",
        "t failure exception Shop::NoStock Rakefile:4",
        code="""
        module Shop; class NoStock < StandardError; end; end
        task(:t) { raise Shop::NoStock }
        """,
    ),
    "exception without a class name": _row(
        "t",
        "t failure exception StandardError Rakefile:3",
        code='task(:t) { raise Class.new(StandardError), "anonymous" }',
    ),
    "exception whose message fails": _row(
        "t",
        "t failure exception Odd Rakefile:4",
        code="""
        class Odd < StandardError; def message; raise "no text"; end; end
        task(:t) { raise Odd }
        """,
        launched=True,
    ),
    "exception in bytes of no encoding": _row(
        "t", "t failure exception RuntimeError Rakefile:3", code=r'task(:t) { raise "\xff\xfe".b }'
    ),
    "exception in UTF-8 that is none": _row(
        "t",
        "t failure exception RuntimeError Rakefile:3",
        code=r'task(:t) { raise "\xff \u00e4 \0" }',
    ),
    "exception in UTF-16": _row(
        "t",
        "t failure exception ArgumentError Rakefile:3",
        code='task(:t) { raise ArgumentError, "x".encode("UTF-16LE") }',
        frame="uncaught",
    ),
    "exception whose cause fails": _row(
        "t",
        "u failure exception Odd Rakefile:4 in t",
        "t success",
        code="""
        class Odd < StandardError; def cause; raise "no cause"; end; end
        task(:u) { raise Odd }
        task(:t) { begin; Rake::Task[:u].invoke; rescue Odd => e; puts e.message; end }
        """,
    ),
    "frozen exception": _row(
        "t",
        "t failure exception ArgumentError",
        code='task(:t) { raise ArgumentError.new("cold").freeze }',
    ),
    "exception without a backtrace": _row(
        "t",
        "t failure exception RuntimeError",
        code='task(:t) { raise RuntimeError, "nowhere", [] }',
    ),
    "fail": _row(
        "t", "t failure exception RuntimeError Rakefile:3", code='task(:t) { fail "failed" }'
    ),
    "Exception itself": _row(
        "t", "t failure exception Exception Rakefile:3", code='task(:t) { raise Exception, "all" }'
    ),
    "NotImplementedError": _row(
        "t",
        "t failure exception NotImplementedError Rakefile:3",
        code="task(:t) { raise NotImplementedError }",
    ),
    "NoMemoryError": _row(
        "t", "t failure exception NoMemoryError Rakefile:3", code="task(:t) { raise NoMemoryError }"
    ),
    "SystemStackError": _row(
        "t",
        "t failure exception SystemStackError Rakefile:3",
        code="def down; down; end\ntask(:t) { down }",
        masks=((r"(?m)^.*Rakefile:3:in `down'\n", ""),),
    ),
    "LoadError": _row(
        "t", "t failure exception LoadError Rakefile:3", code='task(:t) { require "nosuchlib" }'
    ),
    "SyntaxError of an eval": _row(
        "t", "t failure exception SyntaxError Rakefile:3", code='task(:t) { eval "1 +" }'
    ),
    "NoMethodError": _row(
        "t", "t failure exception NoMethodError Rakefile:3", code="task(:t) { nil.nosuch }"
    ),
    "exception of Ruby's library": _row(
        "t",
        "t failure exception JSON::ParserError Rakefile:3",
        code='require "json"; task(:t) { JSON.parse("{") }',
    ),
    "exception in a fiber": _row(
        "t",
        "t failure exception RuntimeError Rakefile:3",
        code='task(:t) { Fiber.new { raise "in a fiber" }.resume }',
    ),
    "throw that nobody catches": _row(
        "t", "t failure exception UncaughtThrowError Rakefile:3", code="task(:t) { throw :out }"
    ),
    "return": _row(
        "t", "t failure exception LocalJumpError Rakefile:3", code="task(:t) { return 3 }"
    ),
    "break": _row(
        "t", "t failure exception LocalJumpError Rakefile:3", code="task(:t) { break 3 }"
    ),
    "next": _row("t", "t success", code='task(:t) { next 3; raise "never" }'),
    "Timeout in a task": _row(
        "t",
        "t failure exception Timeout::Error Rakefile:3",
        code='require "timeout"; task(:t) { Timeout.timeout(0.02) { sleep 30 } }',
        launched=True,
    ),
    "Timeout with a class in a task": _row(
        "t",
        "t failure exception IOError Rakefile:3",
        code='require "timeout"; task(:t) { Timeout.timeout(0.02, IOError) { sleep 30 } }',
    ),
    "Timeout in a task, rescued": _row(
        "t",
        "t success",
        code="""
        require "timeout"
        task(:t) { begin; Timeout.timeout(0.02) { sleep 30 }; rescue Timeout::Error; end }
        """,
    ),
    # Exits.
    "exit": _row("t", "t success", code="task(:t) { exit }"),
    "exit 0": _row("t ok", "t success", code="task(:t) { exit 0 }"),
    "exit true": _row("t", "t success", code="task(:t) { exit true }"),
    "exit false": _row("t", "t failure exit 1", code="task(:t) { exit false }", status=1),
    "exit 3": _row("t", "t failure exit 3", code="task(:t) { exit 3 }", launched=True, status=3),
    "exit 256": _row("t", "t success", code="task(:t) { exit 256 }", status=0),
    "exit -1": _row("t", "t failure exit 255", code="task(:t) { exit(-1) }", status=255),
    "exit 'true'": _row(
        "t", "t failure exception TypeError Rakefile:3", code='task(:t) { exit "true" }'
    ),
    "abort with a text": _row(
        "t",
        "t failure exit 1 SystemExit Rakefile:3",
        code='task(:t) { abort "no stock" }',
        status=1,
    ),
    "abort": _row("t", "t failure exit 1", code="task(:t) { abort }", status=1),
    "raise SystemExit": _row("t", "t success", code="task(:t) { raise SystemExit }", status=0),
    "SystemExit with a status": _row(
        "t",
        "t failure exit 4 SystemExit Rakefile:3",
        code='task(:t) { raise SystemExit.new(4, "bye") }',
        status=4,
    ),
    "Process.exit": _row("t", "t failure exit 5", code="task(:t) { Process.exit(5) }", status=5),
    "exit that is rescued": _row(
        "t", "t success", code="task(:t) { begin; exit 3; rescue SystemExit; end }", status=0
    ),
    "exit in a thread": _row(
        "t", "t failure exit 3", code="task(:t) { Thread.new { exit 3 }.join }", status=3
    ),
    "exit!": _row(
        "t",
        "t failure exit 4",
        code="task(:t) { exit! 4 }",
        launched=True,
        status=4,
    ),
    "exit! 0": _row(
        "t",
        "t success",
        code="task(:t) { exit! 0 }",
        launched=True,
        status=0,
    ),
    "Process.exit!": _row(
        "t",
        "t failure exit 1",
        code="task(:t) { Process.exit!(false) }",
        status=1,
    ),
    "exit! in a thread": _row(
        "t",
        "t failure exit 6",
        code="task(:t) { Thread.new { exit! 6 }.join }",
        status=6,
    ),
    # Signals.
    "Interrupt": _row("t", "t failure interrupted", code="task(:t) { raise Interrupt }", status=1),
    "SIGINT": _row(
        "t",
        "t failure interrupted",
        code='task(:t) { Process.kill("INT", $$); sleep 30 }',
        launched=True,
        status=1,
    ),
    "SIGTERM": _row(
        "t",
        "t failure signal SIGTERM",
        code='task(:t) { Process.kill("TERM", $$); sleep 30 }',
        launched=True,
        status=1,
    ),
    "SIGHUP": _row(
        "t",
        "t failure signal SIGHUP",
        code='task(:t) { Process.kill("HUP", $$); sleep 30 }',
        status=1,
    ),
    "SIGQUIT": _row(
        "t",
        "t failure signal SIGQUIT",
        code='task(:t) { Process.kill("QUIT", $$); sleep 30 }',
        status=1,
    ),
    "SIGUSR1": _row(
        "t",
        "t failure signal SIGUSR1",
        code='task(:t) { Process.kill("USR1", $$); sleep 30 }',
        status=1,
    ),
    "SignalException": _row(
        "t",
        "t failure signal SIGTERM",
        code='task(:t) { raise SignalException, "SIGTERM" }',
        status=1,
    ),
    "SIGKILL": _row(
        "ok t",
        "ok success",
        "t failure signal SIGKILL",
        code='task(:t) { Process.kill("KILL", $$); sleep 30 }',
        path=("ok success", "t failure lost"),
        path_process="failure nested by t",
        status=-9,
    ),
    "SIGSEGV": _row(
        "t",
        "t failure signal SIGABRT",
        code='task(:t) { Process.kill("SEGV", $$); sleep 30 }',
        path=("t failure lost",),
        path_process="failure nested by t",
        status=-6,
        masks=((r"(?s)(\[BUG\] Segmentation fault) .*", r"\1"),),
    ),
    "Process.abort is no SIGABRT": _row(
        "t", "t failure exit 1", code="task(:t) { Process.abort }", status=1
    ),
    "trap that exits": _row(
        "t",
        "t failure exit 7",
        code='task(:t) { trap("TERM") { exit 7 }; Process.kill("TERM", $$); sleep 30 }',
        launched=True,
        status=7,
    ),
    "trap that exits with 0": _row(
        "t",
        "t success",
        code='task(:t) { trap("TERM") { exit }; Process.kill("TERM", $$); sleep 30 }',
        status=0,
    ),
    "trap that raises": _row(
        "t",
        "t failure exception RuntimeError Rakefile:3",
        code='task(:t) { trap("TERM") { raise "in a trap" }; Process.kill("TERM", $$); sleep 30 }',
    ),
    "trap that ignores": _row(
        "t",
        "t success",
        code='task(:t) { trap("TERM", "IGNORE"); Process.kill("TERM", $$); sleep 0.01 }',
        status=0,
    ),
    "signal's default": _row(
        "t",
        "t failure signal SIGTERM",
        code='task(:t) { trap("TERM", "SYSTEM_DEFAULT"); Process.kill("TERM", $$); sleep 30 }',
        path=("t failure lost",),
        path_process="failure nested by t",
        status=-15,
    ),
    "a task executed in a trap": _row(
        "t",
        "t success",
        "ok success in t",
        code="""
        task(:t) do
          trap("USR1") { Rake::Task[:ok].execute; $done = true }
          Process.kill("USR1", $$)
          sleep 0.01 until $done
        end
        """,
    ),
    "a task invoked in a trap": _row(
        "t",
        "t failure exception ThreadError Rakefile:3",
        code="""
        task(:t) { trap("USR1") { Rake::Task[:ok].invoke }
                   Process.kill("USR1", $$); sleep 30 }
        """,
    ),
    # Commands.
    "sh": _row("t", "t success", code='task(:t) { sh "true" }'),
    "sh fails": _row(
        "t",
        "t failure exit 3 RuntimeError Rakefile:3",
        code='task(:t) { sh "exit 3" }',
        status=1,
        launched=True,
    ),
    "sh is killed": _row(
        "t",
        "t failure exit RuntimeError Rakefile:3",
        code='task(:t) { sh "kill -9 $$" }',
        status=1,
    ),
    "sh finds nothing": _row(
        "t", "t failure exit 127 RuntimeError Rakefile:3", code='task(:t) { sh "nosuchcommand" }'
    ),
    "sh with a block": _row(
        "t", "t success", code='task(:t) { sh("exit 3") { |ok, res| puts ok, res.exitstatus } }'
    ),
    "sh with a block that exits": _row(
        "t",
        "t failure exit 3",
        code='task(:t) { sh("exit 3") { |ok, res| exit res.exitstatus } }',
        status=3,
    ),
    "sh that is rescued": _row(
        "t", "t success", code='task(:t) { begin; sh "exit 3"; rescue => e; puts e.message; end }'
    ),
    "another failure after a rescued sh": _row(
        "t",
        "t failure exception ArgumentError Rakefile:3",
        code='task(:t) { begin; sh "exit 3"; rescue; end; raise ArgumentError, "else" }',
    ),
    "ruby": _row("t", "t success", code="task(:t) { ruby '-e \"puts 1\"' }"),
    "ruby fails": _row(
        "t",
        "t failure exit 4 RuntimeError Rakefile:3",
        code="task(:t) { ruby '-e \"exit 4\"' }",
        status=1,
    ),
    "system fails": _row("t", "t success", code='task(:t) { system "exit 3"; `exit 4` }'),
    "sh below a prerequisite": _row(
        "t",
        "p failure exit 3 RuntimeError Rakefile:3",
        "t failure nested by p",
        code='task(:p) { sh "exit 3" }\ntask(:t => :p) { }',
    ),
    # Prerequisites.
    "prerequisite": _row("t", "ok success", "t success", code='task(:t => :ok) { puts "t" }'),
    "prerequisite fails": _row(
        "t",
        _BOOM,
        "t failure nested by boom",
        code='task(:t => :boom) { puts "never" }',
        launched=True,
    ),
    "deep prerequisite fails": _row(
        "t",
        "ok success",
        _BOOM,
        "u failure nested by boom",
        "t failure nested by boom",
        code="task(:u => [:ok, :boom]) { }\ntask(:n => :u)\ntask(:t => :n) { }",
    ),
    "prerequisite exits": _row(
        "t",
        "p failure exit 3",
        "t failure nested by p",
        code="task(:p) { exit 3 }\ntask(:t => :p) { }",
        launched=True,
        status=3,
    ),
    "prerequisite exits with 0": _row(
        "t", "p success", code="task(:p) { exit }\ntask(:t => :p) { }", status=0
    ),
    "prerequisite is told to end": _row(
        "t",
        "p failure signal SIGTERM",
        "t failure nested by p",
        code='task(:p) { Process.kill("TERM", $$); sleep 30 }\ntask(:t => :p) { }',
    ),
    "prerequisite is killed": _row(
        "t",
        "p failure signal SIGKILL",
        code='task(:p) { Process.kill("KILL", $$); sleep 30 }\ntask(:t => :p) { }',
        path=("p failure lost",),
        path_process="failure nested by p",
        launched=True,
    ),
    "missing prerequisite": _row(
        "t",
        "t failure exception RuntimeError Rakefile:3",
        code='task(:t => :nosuch) { puts "never" }',
        launched=True,
    ),
    "missing deep prerequisite": _row(
        "t",
        "p failure exception RuntimeError Rakefile:3",
        "t failure nested by p",
        code="task(:p => :nosuch) { }\ntask(:t => :p) { }",
    ),
    "circular prerequisites": _row(
        "c1",
        "c2 failure exception RuntimeError Rakefile:4",
        "c1 failure nested by c2",
        code="task(:c1 => :c2) { }\ntask(:c2 => :c1) { }",
    ),
    "no actions": _row("t", "ok success", code="task(:t => :ok)"),
    "no actions, and a prerequisite fails": _row("t", _BOOM, code="task(:t => :boom)"),
    "prerequisite of two": _row(
        "t",
        "ok success",
        "a success",
        "b success",
        "t success",
        code="task(:a => :ok) { }\ntask(:b => :ok) { }\ntask(:t => %w[a b]) { }",
    ),
    "failed prerequisite of two, rescued": _row(
        "t",
        _BOOM + " in t",
        "a failure nested by boom in t",
        "b failure nested by boom in t",
        "t success",
        code="""
        task(:a => :boom) { }
        task(:b => :boom) { }
        task(:t) do
          %w[a b].each { |n| begin; Rake::Task[n].invoke; rescue => e; puts e.message; end }
        end
        """,
    ),
    # Files.
    "file": _row(
        "a.txt", "a.txt success", code='file("a.txt") { |t| touch t.name, verbose: false }'
    ),
    "file that is up to date": _row(
        "a.txt",
        "a.txt skipped",
        code='file("a.txt") { raise "never" }',
        files={"a.txt": ""},
        launched=True,
    ),
    "file that is up to date among others": _row(
        "ok a.txt t",
        "ok success",
        "a.txt skipped",
        "t success",
        code='file("a.txt") { raise "never" }\ntask(:t => "a.txt") { }',
        files={"a.txt": ""},
    ),
    "prerequisite file that is up to date": _row(
        "t",
        "t success",
        code='file("a.txt") { raise "never" }\ntask(:t => "a.txt") { }',
        files={"a.txt": ""},
    ),
    "file with a source": _row(
        "a.out",
        "a.out success",
        code='file("a.out" => "a.txt") { |t| cp t.source, t.name, verbose: false }',
        files={"a.txt": ""},
    ),
    "file without its source": _row(
        "a.out",
        "a.out failure exception RuntimeError Rakefile:3",
        code='file("a.out" => "a.txt") { }',
    ),
    "file that is built anew": _row(
        "-B a.txt", "a.txt success", code='file("a.txt") { }', files={"a.txt": ""}
    ),
    "file fails": _row(
        "t",
        "a.txt failure exception RuntimeError Rakefile:3",
        "t failure nested by a.txt",
        code='file("a.txt") { raise "no paper" }\ntask(:t => "a.txt") { }',
    ),
    "a plain file of that name": _row("a.txt", files={"a.txt": ""}),
    "directory": _row("d/e", "d/e success", code='directory "d/e"'),
    "directory that exists": _row("d", "d skipped", code='directory "d"', files={"d/x": ""}),
    "file in a directory": _row(
        "d/a.txt",
        "d success",
        "d/a.txt success",
        code='directory "d"\nfile("d/a.txt" => "d") { |t| touch t.name, verbose: false }',
    ),
    "rule": _row(
        "a.o",
        "a.o success",
        code='rule(".o" => ".c") { |t| cp t.source, t.name, verbose: false }',
        files={"a.c": ""},
    ),
    "rule with --rules": _row(
        "--rules a.o", "a.o success", code='rule(".o" => ".c") { }', files={"a.c": ""}
    ),
    "rule without a source": _row(
        "a.o",
        "rake failure usage 1 RuntimeError",
        code='rule(".o" => ".c") { }',
        process="failure nested by rake",
    ),
    "rule that fails": _row(
        "a.o",
        "a.o failure exit 2 RuntimeError Rakefile:3",
        code='rule(".o" => ".c") { sh "exit 2" }',
        files={"a.c": ""},
    ),
    "rule for a task without actions": _row(
        "a.o",
        "a.o success",
        code='task("a.o")\nrule(".o" => ".c") { puts "made" }',
        files={"a.c": ""},
    ),
    # Threads.
    "multitask": _row(
        "t",
        *("m1 success", "m2 success", "m3 success", "t success"),
        code='3.times { |i| task("m#{i + 1}") { sleep 0.01 } }\nmultitask(:t => %w[m1 m2 m3]) { }',
    ),
    "multitask fails": _row(
        "t",
        *("m1 success", "m2 success", _BOOM, "t failure nested by boom"),
        code="""
        task(:m1) { $m1 = Thread.current }
        task(:m2) { sleep 0.001 until $m1 && ($m1 == Thread.current || !$m1.alive?) }
        multitask(:t => %w[m1 boom m2]) { }
        """,
        launched=True,
    ),
    "multitask exits": _row(
        "t",
        *("m1 failure lost", "p failure exit 3", "t failure nested by p"),
        code="""
        task(:m1) { $m1 = true; sleep 30 }
        task(:p) { sleep 0.001 until $m1; exit 3 }
        multitask(:t => %w[m1 p]) { }
        """,
        launched=True,
        status=3,
    ),
    "multitask in a task": _row(
        "t",
        *("m1 success in t", "m2 success in t", "m success in t", "t success"),
        code="""
        %w[m1 m2].each { |m| task(m) { } }
        multitask(:m => %w[m1 m2]) { }
        task(:t) { Rake::Task[:m].invoke }
        """,
    ),
    "-m": _row(
        "-m -j 4 t",
        *("m1 success", "m2 success", "t success"),
        code="task(:m1) { sleep 0.02 }\ntask(:m2) { sleep 0.01 }\ntask(:t => %w[m1 m2]) { }",
    ),
    "-m with a prerequisite that fails": _row(
        "-m -j 4 t",
        *(_BOOM, "a failure nested by boom", "t failure nested by boom"),
        code="task(:a => :boom) { }\ntask(:t => :a) { }",
        launched=True,
    ),
    "-t -j 4": _row("-t -j 4 t", "ok success", "t success", code="multitask(:t => :ok) { }"),
    "one thread": _row("-j 1 t", "ok success", "t success", code="multitask(:t => :ok) { }"),
    "thread raises, and the task does not join it": _row(
        "t",
        "t success",
        code="""
        task(:t) do
          Thread.report_on_exception = false
          thread = Thread.new { raise "unheard" }
          sleep 0.001 while thread.alive?
        end
        """,
    ),
    "thread raises and is joined": _row(
        "t",
        "t failure exception RuntimeError Rakefile:3",
        code='task(:t) { Thread.report_on_exception = false; Thread.new { raise "heard" }.join }',
    ),
    "Thread.abort_on_exception": _row(
        "t",
        "t failure exception RuntimeError Rakefile:4",
        code="""
        Thread.abort_on_exception = true; Thread.report_on_exception = false
        task(:t) { Thread.new { raise "in a thread" }; sleep 30 }
        """,
    ),
    "task in a thread": _row(
        "t",
        "ok success in t",
        "t success",
        code="task(:t) { Thread.new { Rake::Task[:ok].invoke }.join }",
    ),
    "thread of a running task is killed": _row(
        "t",
        "slow failure lost in t",
        "t success",
        code="""
        task(:slow) { $slow = true; sleep 30 }
        task(:t) do
          thread = Thread.new { Rake::Task[:slow].invoke }
          sleep 0.001 until $slow
          thread.kill; thread.join
        end
        """,
    ),
    "main thread is killed": _row(
        "t", "t success", code="task(:t) { Thread.main.kill; sleep 30 }", status=0
    ),
    "thread is still running at the end": _row(
        "t",
        "slow failure lost in t",
        "t success",
        code="""
        task(:slow) { $slow = true; sleep 30 }
        task(:t) { Thread.new { Rake::Task[:slow].invoke }; sleep 0.001 until $slow }
        """,
        launched=True,
    ),
    "fiber": _row(
        "t",
        "ok success in t",
        "t success",
        code="task(:t) { Fiber.new { Rake::Task[:ok].invoke }.resume }",
    ),
    # Ruby's ways out.
    "rescue": _row(
        "t",
        _BOOM + " in t",
        "t success",
        code="task(:t) { begin; Rake::Task[:boom].invoke; rescue => e; puts e.class; end }",
        launched=True,
    ),
    "ensure": _row(
        "t",
        _BOOM + " in t",
        "t failure nested by boom",
        code='task(:t) { begin; Rake::Task[:boom].invoke; ensure; puts "last"; end }',
    ),
    "ensure that raises": _row(
        "t",
        _BOOM + " in t",
        "t failure nested by boom",
        code='task(:t) { begin; Rake::Task[:boom].invoke; ensure; raise KeyError, "else"; end }',
    ),
    "rescue that raises the same": _row(
        "t",
        _BOOM + " in t",
        "t failure nested by boom",
        code="task(:t) { begin; Rake::Task[:boom].invoke; rescue => e; raise e; end }",
    ),
    "rescue that exits": _row(
        "t",
        _BOOM + " in t",
        "t failure nested by boom",
        code="task(:t) { begin; Rake::Task[:boom].invoke; rescue; exit 2; end }",
        status=2,
    ),
    "retry": _row(
        "t",
        *("w failure exception RuntimeError Rakefile:3 in t",) * 2,
        *("w success in t", "t success"),
        code="""
        task(:w) { ($n = $n.to_i + 1) < 3 and raise "not yet" }
        task(:t) { begin; Rake::Task[:w].execute; rescue; retry; end }
        """,
    ),
    "throw out of a task": _row(
        "t",
        "u success in t",
        "t success",
        code="task(:u) { throw :out }\ntask(:t) { catch(:out) { Rake::Task[:u].invoke } }",
        launched=True,
    ),
    "Timeout around a task": _row(
        "t",
        "slow failure exception Timeout::Error in t",
        "t success",
        code="""
        require "timeout"
        task(:slow) { sleep 30 }
        task(:t) do
          begin
            Timeout.timeout(0.05) { Rake::Task[:slow].invoke }
          rescue Timeout::Error
            puts "late"
          end
        end
        """,
    ),
    # A task asks for another one.
    "invoke": _row(
        "t",
        _BOOM + " in t",
        "t failure nested by boom",
        code="task(:t) { Rake::Task[:boom].invoke }",
    ),
    "invoke with prerequisites": _row(
        "t",
        *("ok success in t", "u success in t", "t success"),
        code="task(:u => :ok) { }\ntask(:t) { Rake::Task[:u].invoke }",
    ),
    "invoke twice": _row(
        "t", "ok success in t", "t success", code="task(:t) { 2.times { Rake::Task[:ok].invoke } }"
    ),
    "execute and reenable": _row(
        "t",
        *("ok success in t",) * 4,
        "t success",
        code="""
        task(:t) do
          ok = Rake::Task[:ok]
          2.times { ok.execute }
          ok.invoke; ok.reenable; ok.invoke
        end
        """,
    ),
    "a failed task invoked twice": _row(
        "t",
        _BOOM + " in t",
        "t success",
        code="""
        task(:t) do
          2.times { begin; Rake::Task[:boom].invoke; rescue => e; puts e.message; end }
        end
        """,
    ),
    "a task executes itself": _row(
        "t",
        *("t success", "t success in t", "t success in t"),
        code="task(:t) { |t| ($n = $n.to_i + 1) < 3 and t.execute }",
    ),
    "Rake.application.invoke_task": _row(
        "t",
        "u success in t",
        "t success",
        code="""
        task(:u, [:a]) { |_, a| puts a[:a] }
        task(:t) { Rake.application.invoke_task("u[1]") }
        """,
    ),
    "Rake.application[...]": _row(
        "t", "ok success in t", "t success", code="task(:t) { Rake.application[:ok].invoke }"
    ),
    "unknown task is invoked": _row(
        "t",
        "t failure exception RuntimeError Rakefile:3",
        code="task(:t) { Rake::Task[:nosuch].invoke }",
    ),
    "a task defined during a task": _row(
        "t",
        "late success in t",
        "t success",
        code='task(:t) { task(:late) { puts "late" }; Rake::Task[:late].invoke }',
    ),
    "arguments": _row(
        "t[1,2,3] default",
        *("t success", "default success"),
        code="""
        task(:t, [:a, :b] => :p) { |_, args| puts args[:a], args.extras.inspect }
        task(:p)
        task(:default) { }
        """,
    ),
    "arguments with defaults": _row(
        "t A=1",
        "t success",
        code='task(:t, [:a]) { |_, args| args.with_defaults(a: 9); puts args.a, ENV["A"] }',
    ),
    "keyword arguments of an action": _row(
        "t[7]", "t success", code="task(:t, [:a]) { |_, args, a: 0| puts a }"
    ),
    "namespaces": _row(
        "db:migrate[3] db:schema:dump",
        *("ok success", "db:migrate success", "db:schema:dump success"),
        code="""
        namespace :db do
          task(:migrate, [:version] => :ok) { |t, args| puts "migrate #{args[:version].inspect}" }
          namespace(:schema) { task(:dump) { puts "dump" } }
        end
        """,
    ),
    "no task named": _row("", "default success", code="task(:default) { puts 'd' }"),
    "no task named and no default": _row("", "rake failure usage 1 RuntimeError", launched=True),
    "several actions": _row(
        "t",
        "t success",
        code="task(:t) { puts 1 }\ntask(:t) { puts 2 }\nRake::Task[:t].enhance { puts 3 }",
    ),
    "the second action fails": _row(
        "t",
        "t failure exception RuntimeError Rakefile:4",
        code='task(:t) { puts 1 }\ntask(:t) { raise "two" }\ntask(:t) { puts 3 }',
    ),
    "enhanced with a prerequisite": _row(
        "t", "ok success", "t success", code="task(:t) { puts 1 }\nRake::Task[:t].enhance([:ok])"
    ),
    "cleared": _row("t", code="task(:t => :boom) { raise }\nRake::Task[:t].clear"),
    "overwritten": _row(
        "t",
        "t success",
        code='task(:t) { raise "old" }\nRake::Task[:t].clear\ntask(:t) { puts "new" }',
    ),
    "clear_actions during a task": _row(
        "t", "t success", code="task(:t) { |t| t.clear_actions; puts t.actions.size }"
    ),
    "number of actions": _row(
        "t", "t success", code="task(:t) { |t| puts t.actions.size, t.sources.inspect, t.inspect }"
    ),
    "an action that is no block": _row(
        "t",
        "t success",
        code="""
        class Act; def call(task, args); puts task.name; end; end
        Rake::Task.define_task(:t).actions << Act.new
        """,
    ),
    "a subclass of Rake::Task": _row(
        "t",
        "t success",
        code="""
        class Loud < Rake::Task; def execute(args = nil); puts "loud"; super; end; end
        Loud.define_task(:t) { puts "t" }
        """,
    ),
    "lib with tasks": _row(
        "t:sub",
        "t:sub success",
        code="""
        require "rake/tasklib"
        class Lib < Rake::TaskLib
          def initialize; super(); namespace(:t) { task(:sub) { puts "sub" } }; end
        end
        Lib.new
        """,
    ),
    "import": _row(
        "t",
        "ok success",
        "t success",
        code='import "more.rake"',
        files={"more.rake": "task(:t => :ok) { }\n"},
    ),
    "names of any kind": _row(
        "'a b' ä",
        *("a b success", "ä success"),
        code='# encoding: utf-8\ntask("a b") { }\ntask("ä") { }',
        env={"LC_ALL": "C.UTF-8"},
    ),
    # No runs.
    "-T": _row("-T", code='desc "all"; task(:t) { }', launched=True),
    "-P": _row("-P", code="task(:t => :ok) { }"),
    "-n": _row("-n t", code="task(:t => :ok) { }", launched=True),
    "-D": _row("-D", code='desc "all"; task(:t) { }'),
    "-W": _row("-W -A", code="task(:t) { }"),
    "--version": _row("--version"),
    "--help": _row("--help"),
    "-e": _row("-e 'puts 1'"),
    "-e that fails": _row(
        "-e 'raise \"e\"'",
        "rake failure exception RuntimeError (eval):1",
        frame="-e",
        launched=True,
    ),
    "no task's actions are reached": _row("-p 'Rake::VERSION.size'"),
    # Usage, and Rakefiles that do not load.
    "unknown task": _row("nosuch", "rake failure usage 1 RuntimeError", launched=True),
    "unknown task after another one": _row(
        "ok nosuch", "ok success", "rake failure usage 1 RuntimeError"
    ),
    "unknown option": _row(
        "--nosuch ok", "rake failure usage 1 OptionParser::InvalidOption", launched=True
    ),
    "bad value of an option": _row("-j many ok", "ok success"),
    "no Rakefile": _row(
        "-N ok", "rake failure usage 1 RuntimeError", files={"Rakefile": "-"}, launched=True
    ),
    "-f without a file": _row("-f nosuch.rb ok", "rake failure usage 1 RuntimeError"),
    "syntax error": _row("ok", "rake failure exception SyntaxError", code="task(:t {"),
    "Rakefile raises": _row(
        "ok", "rake failure exception RuntimeError Rakefile:3", code='raise "broken"', launched=True
    ),
    "Rakefile requires what is not there": _row(
        "ok", "rake failure exception LoadError Rakefile:3", code='require "nosuchlib"'
    ),
    "Rakefile exits": _row("ok", code="exit 3", process="failure exit 3", status=3, launched=True),
    "Rakefile exits after a rescue": _row(
        "ok",
        code='begin; Integer("many"); rescue ArgumentError; exit 3; end',
        process="failure exit 3",
        status=3,
    ),
    "Rakefile aborts": _row(
        "ok", code='abort "no"', process="failure exit 1 SystemExit Rakefile:3", status=1
    ),
    "Rakefile exits with 0": _row("ok", code="exit", status=0),
    "Rakefile invokes a task": _row(
        "ok",
        "boot success",
        "ok success",
        code="task(:boot) { puts 'boot' }\nRake::Task[:boot].invoke",
    ),
    "Rakefile invokes a task that fails": _row("ok", _BOOM, code="Rake::Task[:boom].invoke"),
    # Options.
    "--trace": _row(
        "--trace t",
        _BOOM,
        "t failure nested by boom",
        code="task(:t => :boom) { }",
        frame="trace",
        launched=True,
    ),
    "--trace of a success": _row(
        "--trace t", "ok success", "t success", code="task(:t => :ok) { }"
    ),
    "--backtrace": _row("--backtrace boom", _BOOM, frame="trace"),
    "--suppress-backtrace": _row("--suppress-backtrace nothing boom", _BOOM, frame="trace"),
    "RAKEOPT": _row("boom", _BOOM, env={"RAKEOPT": "--trace"}, frame="trace"),
    "-f": _row("-f other.rb t", "t success", files={"other.rb": "task(:t) { puts 1 }\n"}),
    "-C": _row("-C d t", "t success", files={"d/Rakefile": "task(:t) { puts Dir.pwd }\n"}),
    "-q": _row("-q t", "t failure exit 3 RuntimeError Rakefile:3", code='task(:t) { sh "exit 3" }'),
    "-s": _row("-s t", "t success", code='task(:t) { sh "true" }'),
    "-v": _row("-v t", "t success", code='task(:t) { sh "true" }'),
    "-R": _row("-R lib t", "t success", files={"lib/x.rake": "task(:t) { puts 1 }\n"}),
    "-r": _row("-r ./x.rb t", "t success", files={"x.rb": "X = 1\n"}, code="task(:t) { puts X }"),
    "-E": _row("-E 'puts 5' ok", "ok success"),
    "--job-stats": _row(
        "t --job-stats", "ok success", "t success", code="multitask(:t => :ok) { }"
    ),
    # Rakefiles that change Rake or Ruby.
    "Rakefile aliases execute": _row(
        "t boom",
        *("ok success", "t success", _BOOM),
        code="""
        class Rake::Task
          alias_method :plain_execute, :execute
          def execute(args = nil)
            puts "before #{name}"
            plain_execute(args)
          ensure
            puts "after"
          end
        end
        task(:t => :ok) { }
        """,
    ),
    "Rakefile prepends to Rake::Task": _row(
        "t boom",
        *("ok success", "t success", _BOOM),
        code="""
        Rake::Task.prepend(Module.new {
          def execute(*args); puts "before #{name}"; super; ensure; puts "after"; end
        })
        task(:t => :ok) { }
        """,
    ),
    "Rakefile aliases, and then prepends": _row(
        "t",
        "t success",
        code="""
        class Rake::Task
          alias_method :plain_execute, :execute
          def execute(args = nil); plain_execute(args); end
        end
        Rake::Task.prepend(Module.new { def execute(*args); super; end })
        task(:t) { }
        """,
    ),
    "Rakefile prepends to invoke": _row(
        "t",
        *("ok success", "t success"),
        code="""
        Rake::Task.prepend(Module.new { def invoke(*args); puts "invoke #{name}"; super; end })
        task(:t => :ok) { }
        """,
    ),
    "Rakefile replaces execute": _row(
        "t",
        code="""
        class Rake::Task; def execute(args = nil); puts "mine #{name}"; end; end
        task(:t) { }
        """,
    ),
    "Kernel#puts is redefined": _row(
        "ok",
        "ok success",
        code="module Kernel; def puts(*args); $stdout.write(*args, 33, 10); end; end",
    ),
    "Time.now stands still": _row(
        "ok boom",
        "ok success",
        _BOOM,
        code="Time.singleton_class.send(:define_method, :now) { at(0) }",
    ),
    "Process.clock_gettime stands still": _row(
        "ok boom",
        "ok success",
        _BOOM,
        code="Process.singleton_class.send(:define_method, :clock_gettime) { |*| 0 }",
    ),
    "Process.pid is stubbed": _row(
        "ok", "ok success", code="Process.singleton_class.send(:define_method, :pid) { 1 }"
    ),
    "File.read is stubbed": _row(
        "ok boom",
        *("ok success", _BOOM),
        code="""File.define_singleton_method(:read) { |*| 'puts "read"' }""",
    ),
    "ENV is stubbed": _row(
        "ok boom",
        *("ok success", _BOOM),
        code="""
        %i[[] []= fetch key?].each do |name|
          ENV.define_singleton_method(name) do |key, *|
            raise Exception, "stubbed" if key =~ /AUTO|DD_/
          end
        end
        """,
    ),
    "File.open raises": _row(
        "ok boom",
        *("ok success", _BOOM),
        code='File.define_singleton_method(:open) { |*| raise "stubbed" }',
    ),
    "to_s and Integer#/ are redefined": _row(
        "ok boom",
        *("ok success", _BOOM),
        code="""
        class String; def to_json(*); raise "no"; end; end
        class Integer; def /(other); fdiv(other); end; end
        class Object; def to_s; "mine"; end; end
        """,
    ),
    "ENV is cleared": _row(
        "t boom",
        "t success",
        _BOOM,
        code="task(:t) { ENV.clear; puts ENV.to_h.inspect }",
        launched=True,
    ),
    "ENV of a task": _row(
        "t",
        "t success",
        code="task(:t) { puts ENV.keys.grep(/AUTOTASK|RUBYLIB|RUBYOPT/).empty? }",
        masks=((r"true|false", ""),),
    ),
    "Dir.chdir": _row(
        "t boom",
        *("t success", _BOOM),
        code='require "tmpdir"; task(:t) { d = Dir.mktmpdir; Dir.chdir(d); Dir.rmdir(d) }',
    ),
    "$stdout is closed": _row(
        "t ok",
        "t success",
        "ok failure exception IOError Rakefile:1",
        code="task(:t) { $stdout.close }",
    ),
    "$stderr is closed": _row(
        "t boom",
        "t success",
        _BOOM,
        code="task(:t) { $stderr.close }",
        frame="uncaught",
        launched=True,
    ),
    "$stdout and $stderr are others": _row(
        "t ok",
        "t success",
        "ok success",
        code='require "stringio"; task(:t) { $stdout = $stderr = StringIO.new }',
    ),
    "$stderr is nowhere": _row(
        "t boom", "t success", _BOOM, code='task(:t) { $stderr.reopen("/dev/null") }'
    ),
    "all other descriptors are closed": _row(
        "t boom",
        *("t success", _BOOM),
        code="""
        task(:t) do
          ObjectSpace.each_object(IO) { |io| io.close if !io.closed? && io.fileno > 2 }
        end
        """,
        launched=True,
    ),
    "umask and a frozen object": _row(
        "t", "t success", code="task(:t) { |t| File.umask(0777); t.freeze }"
    ),
    "$! and $? of a task": _row(
        "t u",
        "t success",
        "u success",
        code="task(:t) { p $!, $? }\ntask(:u) { system 'exit 3'; p $!, $?.exitstatus }",
    ),
    "caller of a task": _row("t", "t success", code="task(:t) { puts caller(0, 2) }"),
    "warnings": _row(
        "ok boom",
        "ok success",
        _BOOM,
        env={"RUBYOPT": "-w -W:deprecated"},
        masks=((r"(?m)^/usr/.*warning.*\n", ""),),
    ),
    # Other processes.
    "exec of a command that succeeds": _row(
        "t",
        "t success",
        code='task(:t) { exec "true" }',
        path=("t success",),
        path_process="success",
        status=0,
    ),
    "exec of a command that fails": _row(
        "t",
        "t failure exit 3",
        code='task(:t) { exec "exit 3" }',
        path=("t success",),
        path_process="success",
        status=3,
    ),
    "exec that a library has redefined with keywords": _row(
        "t",
        *("u success in t", "t success"),
        code="""
        module Kernel
          alias plain_exec exec
          def exec(*words, **options); warn options.inspect; plain_exec(*words, **options); end
        end
        task(:u) { exec "true", err: :out }
        task(:t) { sh "rake u" }
        """,
    ),
    "exec that finds nothing": _row(
        "t",
        "t failure exception Errno::ENOENT Rakefile:3",
        code='task(:t) { exec "nosuchcommand" }',
    ),
    "child exits": _row(
        "t ok",
        "t success",
        "ok success",
        code="task(:t) { fork { exit 3 }; Process.wait }",
        launched=True,
    ),
    "child exits!": _row("t", "t success", code="task(:t) { fork { exit! 3 }; Process.wait }"),
    "child raises": _row(
        "t",
        "t success",
        code="""
        task(:t) do
          fork { $stderr = File.open(File::NULL, "w"); raise "child" }
          Process.wait
        end
        """,
        launched=True,
    ),
    "child raises aloud": _row(
        "t", "t success", code='task(:t) { fork { raise "child" }; Process.wait }', frame="uncaught"
    ),
    "child is killed": _row(
        "t", "t success", code='task(:t) { fork { Process.kill("KILL", $$) }; Process.wait }'
    ),
    "child runs a task": _row(
        "t",
        "ok success in t",
        "t success",
        code="task(:t) { fork { Rake::Task[:ok].invoke }; Process.wait }",
    ),
    "child runs a task that fails": _row(
        "t",
        *(_BOOM + " in t", "t success"),
        code="""
        task(:t) do
          fork { begin; Rake::Task[:boom].invoke; rescue; exit! 1; end }
          Process.wait
        end
        """,
    ),
    "child is killed in a task": _row(
        "t",
        *("k failure lost in t", "t success"),
        code="""
        task(:k) { Process.kill("KILL", $$); sleep 30 }
        task(:t) { fork { Rake::Task[:k].invoke }; Process.wait }
        """,
        launched=True,
    ),
    "child goes on with the task": _row(
        "t ok",
        *("t success", "ok success", "ok success in t"),
        code="task(:t) { pid = fork; pid && Process.wait(pid) }",
        launched=True,
    ),
    "child's task raises": _row(
        "t ok",
        *("t success", "ok success"),
        code='task(:t) { fork or raise "child"; Process.wait }',
        launched=True,
    ),
    "parent fails after a fork": _row(
        "t", "t failure exit 3", code="task(:t) { fork { }; Process.wait; exit 3 }", status=3
    ),
    "fork in a thread": _row(
        "t",
        "t success",
        code="task(:t) { Thread.new { Process.wait(fork { exit 2 }) }.join }",
        launched=True,
    ),
    "daemon": _row(
        "t ok",
        "t success",
        "ok success in t",
        code='task(:t) { Process.daemon(true, true); puts "d" }',
        path=("t success", "ok success"),  # there t ends with its first process
        launched=True,
    ),
    "daemon that fails": _row(
        "boom", _BOOM, code="Process.daemon(true, true)", process="success", status=0
    ),
    "spawn": _row("t", "t success", code='task(:t) { Process.wait(spawn("exit 3")) }'),
    "rake in rake": _row("t", "ok success in t", "t success", code='task(:t) { sh "rake -q ok" }'),
    "rake in rake fails": _row(
        "t",
        *(_BOOM + " in t", "t failure exit 1 RuntimeError Rakefile:3"),
        code='task(:t) { sh "rake boom" }',
        launched=True,
    ),
    "rake in rake in a shell": _row(
        "t", "ok success in t", "t success", code='task(:t) { system "cd . && rake ok; true" }'
    ),
    "rake in rake is killed": _row(
        "t",
        *("k failure lost in t", "t failure exit RuntimeError Rakefile:4"),
        code='task(:k) { Process.kill("KILL", $$); sleep 30 }\ntask(:t) { sh "rake k" }',
        launched=True,
    ),
    # What others do at the end.
    "at_exit": _row("t", "t success", code='task(:t) { at_exit { puts "last" } }', launched=True),
    "at_exit raises": _row(
        "t",
        "t success",
        code='task(:t) { at_exit { raise "late" } }',
        process="failure exception RuntimeError Rakefile:3",
    ),
    "at_exit exits": _row(
        "t", "t success", code="task(:t) { at_exit { exit 5 } }", process="failure exit 5", status=5
    ),
    "at_exit aborts": _row(
        "t",
        "t success",
        code='task(:t) { at_exit { abort "late" } }',
        process="failure exit 1 SystemExit Rakefile:3",
    ),
    "at_exit exits after a failure": _row("boom", _BOOM, code="at_exit { exit 5 }", status=5),
    "at_exit makes a failure a success": _row(
        "boom", _BOOM, code="at_exit { exit 0 }", process="success", status=0
    ),
    "at_exit runs a task": _row(
        "t", "t success", "ok success", code="task(:t) { at_exit { Rake::Task[:ok].invoke } }"
    ),
    "at_exit of a broken Rakefile": _row(
        "ok",
        "rake failure exception RuntimeError Rakefile:4",
        code='at_exit { puts "last" }\nraise "broken"',
        launched=True,
    ),
    "at_exit kills": _row(
        "t",
        "t success",
        code='task(:t) { at_exit { Process.kill("KILL", $$); sleep 30 } }',
        process="failure signal SIGKILL",
        path_process="failure lost",
        status=-9,
    ),
    "minitest in at_exit": _row(
        "ok",
        "ok success",
        code="""
        require "minitest/autorun"
        class ShopTest < Minitest::Test; def test_it; Rake::Task[:boom].clear; assert true; end; end
        """,
        masks=_TESTS,
    ),
    "minitest in at_exit fails": _row(
        "ok",
        "ok success",
        code="""
        require "minitest/autorun"
        class ShopTest < Minitest::Test; def test_it; assert false; end; end
        """,
        masks=_TESTS,
        process="failure exit 1",
        status=1,
    ),
    "minitest runs a task": _row(
        "",
        *("ok success", _BOOM.replace("Rakefile", "Rakefile")),
        program="ruby shop_test.rb",
        files={
            "shop_test.rb": """
            require "minitest/autorun"
            require "rake"
            load "Rakefile"
            class ShopTest < Minitest::Test
              def test_it
                Rake::Task[:ok].invoke
                assert_raises(ArgumentError) { Rake::Task[:boom].invoke }
              end
            end
            """
        },
        masks=_TESTS,
    ),
    "test-unit in at_exit fails": _row(
        "ok",
        "ok success",
        code="""
        require "test/unit"
        class ShopTest < Test::Unit::TestCase; def test_it; assert false; end; end
        """,
        masks=_TESTS,
        process="failure exit 1",
        status=1,
    ),
    "Rake::TestTask": _row(
        "test",
        "test failure exit 1 RuntimeError",
        code='require "rake/testtask"; Rake::TestTask.new { |t| t.test_files = ["shop_test.rb"] }',
        files={
            "shop_test.rb": """
            require "minitest/autorun"
            class ShopTest < Minitest::Test; def test_it; assert false; end; end
            """
        },
        masks=_TESTS,
    ),
    # Ruby programs other than rake.
    "script that runs Rake's application": _row(
        "ok boom",
        *("ok success", _BOOM),
        program="ruby script.rb",
        files={"script.rb": "require 'rake'\nRake.application.run\n"},
    ),
    "script that invokes a task": _row(
        "",
        *("t success", _BOOM.replace("Rakefile:2", "script.rb:3")),
        program="ruby script.rb",
        files={
            "script.rb": """\
            require 'rake'
            extend Rake::DSL
            task(:boom) { raise ArgumentError, "boom" }
            task(:t) { puts "t" }
            Rake::Task[:t].invoke
            begin; Rake::Task[:boom].invoke; rescue => e; puts e.message; end
            """
        },
    ),
    "script that a task's failure ends": _row(
        "",
        _BOOM.replace("Rakefile:2", "script.rb:3"),
        program="ruby script.rb",
        files={
            "script.rb": """\
            require 'rake'
            extend Rake::DSL
            task(:boom) { raise ArgumentError, "boom" }
            Rake::Task[:boom].invoke
            """
        },
        frame="uncaught",
        launched=True,
    ),
    "script with Rake that has no task": _row(
        "", program="ruby script.rb", files={"script.rb": "require 'rake'\n"}
    ),
    "script that defines Rake itself": _row(
        "",
        program="ruby script.rb",
        files={
            "script.rb": """
            module Rake; class Task; def execute; puts 1; end; end; end
            Rake::Task.new.execute
            """
        },
    ),
    "-I, -S": _row("ok", "ok success", program="ruby -S rake"),
    "rake below a Python task": _row(
        "task",
        *("shop.task success", "ok success in shop.task"),
        program=f"{PYTHON} shop.py",
        files={"shop.py": _SHOP.replace("WORDS", '["rake", "ok"]')},
    ),
    "failing rake below a Python task": _row(
        "task",
        *(_BOOM + " in shop.task", "shop.task failure exception ValueError shop.py:8"),
        program=f"{PYTHON} shop.py",
        files={"shop.py": _SHOP.replace("WORDS", '["rake", "boom"]')},
        masks=((r"(?s)Traceback .*", ""),),
        launched=True,
    ),
    "Python task below rake": _row(
        "t",
        *("shop.task success in t", "t success"),
        code=f'task(:t) {{ sh "{PYTHON} shop.py task", verbose: false }}',
        files={"shop.py": _SHOP.replace("WORDS", '["true"]')},
    ),
    "failing Python task below rake": _row(
        "t",
        *(
            "shop.task failure exception ValueError shop.py:8 in t",
            "t failure exit 1 RuntimeError Rakefile:3",
        ),
        code=f'task(:t) {{ sh "{PYTHON} shop.py task", verbose: false }}',
        files={"shop.py": _SHOP.replace("WORDS", '["false"]')},
        masks=((r"(?s)Traceback .*ValueError", ""),),
        launched=True,
    ),
    "bundle exec": _row(
        "ok boom",
        *("ok success", _BOOM),
        program="bundle exec rake",
        files={"Gemfile": 'gem "rake"\n'},
        launched=True,
    ),
}
