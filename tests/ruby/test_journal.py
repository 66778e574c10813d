"""The Ruby half's journal does what the Python half's does, wherever it is."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hypothesis")

from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruby.half import HYPOTHESIS, Half
from ruby.ruby_programs import run_ruby
from support import Ended, small_disk, wire_of

from autotask import debuglog, homes, journal  # noqa: F401  loaded now: later it may be impossible
from autotask.journal import Journal
from autotask.run import Run
from autotask.telling import Teller
from autotask.tool import cli

ANYTHING = settings(max_examples=100, **HYPOTHESIS)

root = pytest.mark.skipif(os.getuid() != 0, reason="only root has two sides")
ANN, EVE = 54321, 54322  # users unknown to the machine
ID = "1" * 16
Step = list[Any]
APPEND: Step = ["append", "a line", True]
MARK: Step = ["leave_mark", "7-1111"]
BACK: Step = ["take_mark_back", False]

ANSWERS = Path(__file__).with_name("journal_answers.rb").read_text().partition("\n")[2]


@pytest.fixture(scope="module")
def half(ruby: str) -> Iterator[Half]:
    assert ruby
    running = Half(ANSWERS)
    yield running
    assert running("warnings") == []
    running.close()


class Steps:
    """What can be done with a journal; the same as in answers.rb."""

    def __init__(self, home: str) -> None:
        self.teller = Teller("höst", Journal(home), wire_of({}))
        self.teller.pid, self.teller.identity = 7, "boot/namespace/1"
        self.held: list[int] = []
        self.limits = resource.getrlimit(resource.RLIMIT_NOFILE)

    @property
    def journal(self) -> Journal:
        assert self.teller.journal is not None
        return self.teller.journal

    @property
    def mark(self) -> str | None:
        return os.path.basename(self.journal.mark) if self.journal.mark else None

    def append(self, line: str, keep: bool) -> bool | None:
        return self.journal.append(line, keep=keep)

    def claim(self, line: str) -> bool | None:
        return self.journal.append(line, lambda: None)

    def unsent(self) -> None:
        run = Run("a", "b")
        run.id = run.root = "0" * 16
        self.journal.tell_unsent(run, "started")

    def leave_mark(self, name: str) -> None:
        self.teller.leave_mark(name, ID)

    def take_mark_back(self, has_refused: bool) -> None:
        assert self.teller.wire is not None
        self.teller.wire.has_refused = has_refused
        self.teller.take_mark_back()

    def home(self) -> list[str]:
        return [self.journal.home, self.journal.folder]

    def close(self) -> None:
        self.journal.close()

    def hour(self) -> None:
        self.journal._hour = (0.0, 1.0)

    def room(self, size: int | None) -> None:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard if size is None else size, hard))

    def umask(self, mode: int) -> None:
        os.umask(mode)

    def user(self, number: int) -> None:
        os.setgroups([])
        os.setgid(number)
        os.setuid(number)

    def remove(self, path: str) -> None:
        subprocess.run(["rm", "-rf", path], check=True)

    def mode(self, path: str, mode: int) -> None:
        os.chmod(path, mode)

    def lose(self) -> None:
        os.close(self.journal._file)

    def steal(self, path: str) -> None:
        mine = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
        os.dup2(mine, self.journal._file)
        os.close(mine)

    def descriptors(self, none: bool) -> None:
        if not none:
            while self.held:
                os.close(self.held.pop())
            # The tests' own process may hold so many that none of the first 64 becomes free.
            resource.setrlimit(resource.RLIMIT_NOFILE, self.limits)
            return
        self.limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, self.limits[1]))
        with contextlib.suppress(OSError):
            while True:
                self.held.append(os.open("/dev/null", os.O_RDONLY))


def in_python(home: Path, steps: list[Step]) -> list[Any]:
    """Do things with one journal in a process of its own; return what each of them returned."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.umask(0o022)
            python = Steps(str(home))
            done = [[getattr(python, name)(*words), python.mark] for name, *words in steps]
            os.write(writing, json.dumps(done).encode())
        except BaseException as problem:
            os.write(writing, json.dumps(repr(problem)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as answer:
        done = json.loads(answer.read())
    os.waitpid(child, 0)
    assert isinstance(done, list), done
    return done


def in_ruby(half: Half, home: Path, steps: list[Step]) -> list[Any]:
    """Do the same in a process of Ruby."""
    done: list[Any] = half("journal", str(home), steps)
    return done


def snapshot(folder: Path) -> dict[str, tuple[object, ...]]:
    """Read what is in a folder, with modes and owners; a segment's name is that of any hour."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content: object = None
        if path.is_symlink():
            content = os.readlink(path).replace(str(folder), "")
        elif path.is_file():
            content = HOUR.sub("HOUR", path.read_text("ascii"))
        name = HOUR.sub("HOUR", str(path.relative_to(folder)))
        found[name] = oct(status.st_mode), status.st_uid, status.st_gid, content
    return found


HOUR = re.compile(r'\d{4}-\d\d-\d\dT\d\d(?=\.jsonl)|(?<="at":")[^"]+')


def without_hour_change() -> None:
    """Wait if the hour is nearly over: both halves are to write to the same segment."""
    left = 3600 - time.time() % 3600
    if left < 5:
        time.sleep(left)


# --- a disk that takes a part, or nothing --------------------------------------------------------

LINES = st.integers(0, 40).map(lambda size: "x" * size)
STEPS = st.lists(
    st.tuples(st.just("append"), LINES, st.booleans())
    | st.tuples(st.just("claim"), LINES)
    | st.tuples(st.just("room"), st.integers(0, 500) | st.none())
    | st.tuples(st.just("leave_mark"), st.sampled_from(["7-1", "7-2"]))
    | st.tuples(st.just("take_mark_back"), st.booleans()),
    max_size=12,
).map(lambda steps: [list(step) for step in steps])
MUCH = ["append", "y" * 100_000, True]


@ANYTHING
@given(STEPS)
@example([["room", 10], MUCH, MUCH, MUCH, ["room", None], APPEND, BACK])
@example([MARK, ["room", 10], APPEND, APPEND, ["take_mark_back", True]])
@example([MARK, ["room", 12], APPEND, ["room", None], APPEND, BACK])  # all but the line's end
@example([MARK, ["room", 12], APPEND, BACK])
@example([MARK, ["room", 11], APPEND, BACK])
def test_a_disk_that_takes_a_part_or_nothing_is_met_alike(half: Half, steps: list[Step]) -> None:
    without_hour_change()
    first: Step = ["append", "first", True]  # with room, so that the segment is open
    with tempfile.TemporaryDirectory() as place:
        python, ruby = Path(place, "python"), Path(place, "ruby")
        done = in_python(python, [first, *steps])
        assert in_ruby(half, ruby, [first, *steps]) == done
        assert snapshot(ruby) == snapshot(python)


@root
def test_a_full_file_system_is_met_alike(half: Half, tmp_path: Path) -> None:
    steps: list[Step] = [MARK, *[["append", "z" * 1500, True]] * 12, BACK]
    done: list[Any] = []
    for name in ("python", "ruby"):
        with small_disk(tmp_path / name, "size=16k,mode=700") as home:
            done.append(in_python(home, steps) if name == "python" else in_ruby(half, home, steps))
            done.append(snapshot(home))
    assert done[:2] == done[2:]
    assert done[0][-2][0] is False


# --- homes ---------------------------------------------------------------------------------------


def _segments(home: Path) -> list[Path]:
    """Return the segments of this hour and the next: the test may run over its end."""
    (home / "journal").mkdir(parents=True, exist_ok=True)
    now = time.time()
    return [home / "journal" / journal.segment(at) for at in (now, now + 3600)]


def _nothing(home: Path) -> None:
    pass


def _a_home(home: Path) -> None:
    (home / "journal").mkdir(parents=True)
    (home / "open").mkdir()


def _a_file(home: Path) -> None:
    home.touch()


def _a_link(home: Path) -> None:
    (home.parent / "elsewhere").mkdir()
    home.symlink_to("elsewhere")


def _a_link_to_nothing(home: Path) -> None:
    home.symlink_to("elsewhere/deep/../../there")


def _a_circle(home: Path) -> None:
    home.symlink_to("home")


def _links_above(home: Path) -> None:
    (home.parent / "real").mkdir()
    (home.parent / "link").symlink_to("real/../real")


def _a_fifo_as_segment(home: Path) -> None:
    for segment in _segments(home):
        os.mkfifo(segment)


def _a_link_as_segment(home: Path) -> None:
    secret = home.parent / "secret"
    secret.write_text("secret\n")
    for segment in _segments(home):
        segment.symlink_to(secret)


def _a_dangling_link_as_segment(home: Path) -> None:
    for segment in _segments(home):
        segment.symlink_to(home.parent / "new")


def _a_folder_as_segment(home: Path) -> None:
    for segment in _segments(home):
        segment.mkdir()


def _a_readable_segment(home: Path) -> None:
    for segment in _segments(home):
        segment.write_text("before\n")
        segment.chmod(0o644)


def _eves_segment(home: Path) -> None:
    for segment in _segments(home):
        segment.touch()
        segment.chmod(0o666)
        os.chown(segment, EVE, EVE)


def _fifos_as_folders(home: Path) -> None:
    home.mkdir()
    os.mkfifo(home / "journal")
    os.mkfifo(home / "open")


def _files_as_folders(home: Path) -> None:
    home.mkdir()
    (home / "journal").touch()
    (home / "open").touch()


def _a_link_as_journal(home: Path) -> None:
    home.mkdir()
    (home.parent / "elsewhere").mkdir()
    (home / "journal").symlink_to(home.parent / "elsewhere")


def _a_link_as_open(home: Path) -> None:
    _a_home(home)
    (home / "open").rmdir()
    (home.parent / "elsewhere").mkdir()
    (home / "open").symlink_to(home.parent / "elsewhere")


def _a_mark(home: Path) -> None:
    _a_home(home)
    (home / "open" / "7-1111").write_text("the launcher's\n")


def _a_link_as_mark(home: Path) -> None:
    _a_home(home)
    (home / "open" / "7-1111").symlink_to(home.parent / "new")


def _eves_home(home: Path) -> None:
    _a_home(home)
    for path in (home, home / "journal", home / "open"):
        path.chmod(0o777)
        os.chown(path, EVE, EVE)


def _eves_journal(home: Path) -> None:
    _a_home(home)
    (home / "journal").chmod(0o777)
    os.chown(home / "journal", EVE, EVE)


def _eves_open(home: Path) -> None:
    _a_home(home)
    (home / "open").chmod(0o777)
    os.chown(home / "open", EVE, EVE)


def _eves_link(home: Path) -> None:
    _a_home(home.parent / "elsewhere")
    home.symlink_to("elsewhere")
    os.lchown(home, EVE, EVE)


def _eves_folder_above(home: Path) -> None:
    home.parent.chmod(0o777)
    os.chown(home.parent, EVE, EVE)


def _own_home_below_eves(home: Path) -> None:
    _a_home(home)
    _eves_folder_above(home)


def _unreadable(home: Path) -> None:
    _a_home(home)
    home.chmod(0o300)


def _unwritable(home: Path) -> None:
    home.mkdir()
    home.chmod(0o500)


def _unwritable_above(home: Path) -> None:
    home.parent.chmod(0o555)


def _unwritable_journal(home: Path) -> None:
    _a_home(home)
    (home / "journal").chmod(0o500)


def _shared(home: Path) -> None:
    assert cli.main(["init-home", str(home)]) == 0


def _shared_with_anns_folder_taken(home: Path) -> None:
    _shared(home)
    (home / str(ANN)).mkdir()
    os.chown(home / str(ANN), EVE, EVE)


PLACES: dict[str, Callable[[Path], None]] = {
    place.__name__.strip("_").replace("_", " "): place
    for place in (
        _nothing,
        _a_home,
        _a_file,
        _a_link,
        _a_link_to_nothing,
        _a_circle,
        _links_above,
        _a_fifo_as_segment,
        _a_link_as_segment,
        _a_dangling_link_as_segment,
        _a_folder_as_segment,
        _a_readable_segment,
        _eves_segment,
        _fifos_as_folders,
        _files_as_folders,
        _a_link_as_journal,
        _a_link_as_open,
        _a_mark,
        _a_link_as_mark,
        _eves_home,
        _eves_journal,
        _eves_open,
        _eves_link,
        _eves_folder_above,
        _own_home_below_eves,
        _unreadable,
        _unwritable,
        _unwritable_above,
        _unwritable_journal,
        _shared,
        _shared_with_anns_folder_taken,
    )
}
ALONE = [name for name, place in PLACES.items() if "eve" not in name and "shared" not in name]
LINED: list[Step] = [APPEND, MARK, APPEND, ["unsent"], ["claim", "never"], ["hour"], APPEND, BACK]


def alike(
    ruby: str, place: Path, make: Callable[[Path], None], steps: list[Step], user: int | None = None
) -> list[Any]:
    """Fail if the halves do not do the same in the same place; return what the steps returned."""
    without_hour_change()
    done = {}
    for name in ("python", "ruby"):
        folder = place / name
        folder.mkdir()
        home = folder / "home"
        make(home)
        if user is not None and "shared" not in make.__name__:
            for path in (folder, *folder.rglob("*")):
                if path.lstat().st_uid == 0:
                    os.lchown(path, user, user)
        become: list[Step] = [["user", user]] if user else []
        these = [
            [w.replace("FOLDER", str(folder)) if isinstance(w, str) else w for w in step]
            for step in (*become, *steps)
        ]
        if name == "python":
            answer = in_python(home, these)
        else:
            half = Half(ANSWERS)
            half("load_journal")
            answer = in_ruby(half, home, these)
            assert half("warnings") == []
            half.close()
        done[name] = (
            json.loads(json.dumps(answer).replace(str(folder), "")),
            snapshot(folder),
        )
    assert done["ruby"][0] == done["python"][0]
    assert done["ruby"][1] == done["python"][1]
    return list(done["ruby"][0])


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a folder that each user can reach, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.mark.parametrize("name", ALONE)
def test_in_any_place_a_home_is_made_or_refused_alike(ruby: str, name: str, place: Path) -> None:
    alike(ruby, place, PLACES[name], [*LINED, ["home"]])


@root
@pytest.mark.parametrize("name", PLACES)
def test_a_user_makes_or_refuses_a_home_alike(ruby: str, name: str, place: Path) -> None:
    alike(ruby, place, PLACES[name], [*LINED, ["home"]], ANN)


@root
@pytest.mark.parametrize("mask", [0, 0o077, 0o777])
@pytest.mark.parametrize("user", [None, ANN])
@pytest.mark.parametrize("make", [_nothing, _shared])
def test_the_modes_are_the_same_under_any_umask(
    ruby: str, make: Callable[[Path], None], user: int | None, mask: int, place: Path
) -> None:
    done = alike(ruby, place, make, [["umask", mask], *LINED], user)
    assert done[-2][0] is True


def test_a_new_home_is_for_this_user_alone(ruby: str, tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    half = Half(ANSWERS)
    assert in_ruby(half, home, [["umask", 0], APPEND, MARK])[1][0] is True
    half.close()
    for folder in (home.parent, home, home / "journal", home / "open"):
        assert folder.stat().st_mode & 0o777 == 0o700
    for file in (*home.glob("journal/*"), *home.glob("open/*")):
        assert file.stat().st_mode & 0o777 == 0o600


LATER: dict[str, list[Step]] = {
    "the segment is removed": [["remove", "FOLDER/home/journal/"]],
    "the home is removed": [["remove", "FOLDER/home"]],
    "the descriptor is closed": [["lose"]],
    "the descriptor becomes another file's": [["steal", "FOLDER/mine"]],
    "the journal is closed": [["close"]],
    "the hour is over": [["hour"]],
    "the home cannot be written": [["mode", "FOLDER/home", 0o500], ["hour"]],
    "the mark is removed": [MARK, ["remove", "FOLDER/home/open/7-1111"]],
}


@pytest.mark.parametrize("what", LATER)
def test_what_happens_between_two_lines_is_met_alike(ruby: str, what: str, place: Path) -> None:
    back = [] if what == "the mark is removed" else [MARK, BACK]
    done = alike(ruby, place, _nothing, [APPEND, *LATER[what], APPEND, APPEND, *back])
    assert done[-1 - len(back)][0] is True


@root
def test_a_user_that_the_process_becomes_is_met_alike(ruby: str, place: Path) -> None:
    done = alike(ruby, place, _nothing, [APPEND, ["user", ANN], APPEND, ["hour"], APPEND, APPEND])
    assert [step[0] for step in done] == [True, None, True, None, False, False]


def test_without_descriptors_a_line_is_kept(ruby: str, place: Path) -> None:
    steps: list[Step] = [["descriptors", True], APPEND, ["descriptors", False], APPEND]
    done = alike(ruby, place, _a_home, steps)
    assert [step[0] for step in done] == [None, False, None, True]


# --- in a program --------------------------------------------------------------------------------

JOURNAL = 'notes = AutotaskAgent::Journal.new(ENV["AUTOTASK_HOME"])'


def written(home: Path) -> list[str]:
    """Return the lines of all segments."""
    return [
        line
        for segment in sorted((home / "journal").iterdir())
        for line in segment.read_text("ascii").splitlines()
    ]


def test_a_usual_run_loads_no_more_than_it_needs(ruby: str, tmp_path: Path, home: Path) -> None:
    source = f"""
        before = $LOADED_FEATURES.dup
        {JOURNAL}
        settings = AutotaskAgent::Settings.new("HOME" => "/h")
        notes.leave_mark("1-2", "boot/1/2", 1, "host", "2")
        run = AutotaskAgent::Run.new("0" * 16, "db:migrate", "rake")
        run.root, run.trigger, run.started = run.id, "cron", 1.5
        place = AutotaskAgent::Lines.process_fields(1, "boot/1/2", "host", RUBY_VERSION, settings)
        notes.append(AutotaskAgent::Lines.started(run, place)) {{ true }}
        ending = AutotaskAgent::End.new(AutotaskAgent::SUCCESS, 2.5, 1.0, 0.5, 4096)
        notes.append(AutotaskAgent::Lines.finished(run, ending))
        notes.take_mark_back(false)
        puts AutotaskAgent.instance_variable_get(:@loaded).keys.sort.join(" ")
        p $LOADED_FEATURES - before
    """
    _a_home(home)
    done = run_ruby(ruby, source, cwd=tmp_path)
    assert done == Ended(0, "guard journal lines run settings\n[]\n", "")
    assert [json.loads(line)["event"] for line in written(home)] == ["started", "finished"]


def test_threads_and_processes_write_whole_lines(ruby: str, tmp_path: Path, home: Path) -> None:
    source = f"""
        4.times do |child|
          fork do
            {JOURNAL}
            threads = 4.times.map do |thread|
              Thread.new do
                250.times {{ |i| notes.append("#{{child}}.#{{thread}}.#{{i}}" + "." * 99) }}
              end
            end
            threads.each(&:join)
          end
        end
        Process.waitall
    """
    assert run_ruby(ruby, source, cwd=tmp_path) == Ended(0, "", "")
    places = [line.rstrip(".").split(".") for line in written(home)]
    assert sorted(places) == sorted(
        [str(child), str(thread), str(number)]
        for child in range(4)
        for thread in range(4)
        for number in range(250)
    )


def test_threads_open_the_next_hour_without_losing_a_line(
    ruby: str, tmp_path: Path, home: Path
) -> None:
    source = f"""
        {JOURNAL}
        notes.append("first")
        files = Dir.children("/proc/self/fd").size
        threads = 8.times.map do |thread|
          Thread.new do
            100.times do |number|
              notes.instance_variable_set(:@hour, 0) if number % 10 == 5
              Thread.pass
              p :refused unless notes.append("#{{thread}}.#{{number}}")
            end
          end
        end
        threads.each(&:join)
        p Dir.children("/proc/self/fd").size - files
    """
    assert run_ruby(ruby, source, cwd=tmp_path) == Ended(0, "0\n", "")
    assert len(set(written(home))) == 801


def test_a_trap_may_write_while_a_line_is_being_written(
    ruby: str, tmp_path: Path, home: Path
) -> None:
    source = f"""
        {JOURNAL}
        notes.append("first")
        inside = 0
        program = Process.pid
        trap("USR1") {{ inside += 1 if notes.append("in the trap") }}
        sender = fork do
          while Process.ppid == program
            Process.kill("USR1", program)
            sleep 0.001
          end
        end
        lines = 0
        lines += 1 while notes.append("outside") && inside < 100
        held = Thread.new {{ notes.send(:lock); Thread.stop }}
        sleep 0.01 until held.stop?
        Process.kill("KILL", sender)
        Process.wait
        trap("USR1") {{ p notes.append("while another thread has the lock") }}
        Process.kill("USR1", Process.pid)
        sleep 0.1
        puts inside, lines + 1
    """
    done = run_ruby(ruby, source, cwd=tmp_path)
    assert (done.status, done.stderr) == (0, "")
    answer, inside, outside = done.stdout.split()
    assert answer == "true"
    counted = written(home)
    assert counted.count("in the trap") == int(inside)
    assert counted.count("outside") == int(outside)


def test_a_fork_and_its_parent_write_on(ruby: str, tmp_path: Path, home: Path) -> None:
    source = f"""
        {JOURNAL}
        notes.append("parent")
        fork do
          notes.append("child, by the parent's journal")
          notes.close
          AutotaskAgent::Journal.new(ENV["AUTOTASK_HOME"]).append("child")
        end
        Process.wait
        system("ls -l /proc/self/fd | grep -c jsonl")
        notes.append("parent again")
    """
    assert run_ruby(ruby, source, cwd=tmp_path) == Ended(0, "0\n", "")  # nothing is inherited
    assert len(written(home)) == 4


def test_closed_standard_streams_stay_the_programs(ruby: str, tmp_path: Path, home: Path) -> None:
    source = f"""
        out = File.new("out", "w")
        [0, 1, 2].each {{ |number| IO.for_fd(number).close }}
        {JOURNAL}
        notes.leave_mark("1-2", "boot/1/2", 1, "host", "2")
        notes.append("a line")
        Dir.glob("/proc/self/fd/*").each do |path|
          link = File.readlink(path) rescue next
          out.puts File.basename(path).to_i > 2 if link.end_with?(".jsonl")
        end
        out.close
        exit! 0
    """
    assert run_ruby(ruby, source, cwd=tmp_path) == Ended(0, "", "")
    assert (tmp_path / "out").read_text() == "true\n"
    assert written(home) == ["a line"]


def test_descriptors_that_the_program_closes_and_reuses_are_left_alone(
    ruby: str, tmp_path: Path, home: Path
) -> None:
    source = f"""
        {JOURNAL}
        notes.append("one")
        ObjectSpace.each_object(IO) {{ |io| io.close if !io.closed? && io.fileno > 2 }}
        mine = Array.new(9) {{ |number| File.new("mine#{{number}}", "w") }}
        notes.append("two")
        mine.each(&:close)
        (3..20).each {{ |number| IO.for_fd(number).close rescue nil }}
        mine = Array.new(9) {{ |number| File.new("mine#{{number}}", "w") }}
        notes.append("three")
        mine.each {{ |file| file.write("mine") }}
        mine.each(&:close)
        ours = ObjectSpace.each_object(IO).select {{ |file| file.inspect.include?("jsonl") }}
        p ours.map {{ |file| !file.closed? && file.autoclose? }}.uniq  # what GC closes
        notes.close
    """
    assert run_ruby(ruby, source, cwd=tmp_path) == Ended(0, "[false]\n", "")
    assert written(home) == ["one", "two", "three"]
    assert {path.read_text() for path in tmp_path.glob("mine*")} == {"mine"}


@pytest.mark.parametrize("size", [0, 1, 30, 200])
def test_a_limit_on_the_size_of_files_does_not_end_the_program(
    ruby: str, size: int, tmp_path: Path, home: Path
) -> None:
    source = f"""
        Process.setrlimit(:FSIZE, {size})
        {JOURNAL}
        notes.leave_mark("1-2", "boot/1/2", 1, "host", "2")
        9.times {{ notes.append("a line") }}
        notes.take_mark_back(false)
        puts "works"
    """
    done = run_ruby(ruby, source, cwd=tmp_path, env={"AUTOTASK_DEBUG": None})
    assert done == Ended(0, "works\n", "")
    assert written(home) == ["a line"] * min(size // 7, 9)


@root
def test_without_proc_lines_are_written_too(ruby: str, tmp_path: Path, home: Path) -> None:
    source = f"""
        {JOURNAL}
        notes.leave_mark("1-2", "boot/1/2", 1, "host", "2")
        p notes.mark, notes.append("a line")
        notes.instance_variable_set(:@hour, 0)
        p notes.append("a line")
        elsewhere = AutotaskAgent::Journal.new(File.absolute_path("link"))
        p elsewhere.append("a line")
    """
    words = ("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    done = run_ruby(ruby, source, *words, cwd=tmp_path)
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip("may not mount")
    assert done == Ended(0, f'"{home}/open/1-2"\ntrue\ntrue\ntrue\n', "")
    assert (written(home), len(written(tmp_path / "elsewhere"))) == (["a line"] * 2, 1)


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_a_home_of_any_name_works_in_any_locale(ruby: str, locale: str, tmp_path: Path) -> None:
    home = os.fsdecode(os.fsencode(tmp_path) + "/hömé ".encode() + b"\xff")
    source = """
        settings = AutotaskAgent::Settings.new
        notes = AutotaskAgent::Journal.new(settings.home)
        notes.leave_mark("1-2", "böot", 1, "höst", "2")
        run = AutotaskAgent::Run.new("0" * 16, ARGV[0] || "näme", "rake")
        run.root, run.trigger, run.started = run.id, "cron", 1.5
        p notes.append(AutotaskAgent::Lines.started(run, '"pid":1'))
        p File.exist?(notes.mark)
    """
    done = run_ruby(ruby, source, cwd=tmp_path, env={"AUTOTASK_HOME": home, "LC_ALL": locale})
    assert done == Ended(0, "true\ntrue\n", "")
    (line,) = written(Path(home))
    assert json.loads(line)["task"] == "näme"
