"""Close the runs of processes that have died without a launcher to close them.

The journal tells of the runs; the marks tell where to look in it.
"""

from __future__ import annotations

import os

from autotask.around import elsewhere, journal_lines
from autotask.around.closing import Closer
from autotask.around.journal_lines import raw_field, text_field
from autotask.around.lock import Alone
from autotask.around.marks_left import (
    beginning_of,
    few_mark_paths,
    launchers,
    living_launchers,
    mark_paths,
    read_mark,
    read_marks,
    remove_done,
)
from autotask.around.story import Story
from autotask.guard import guarded
from autotask.journal import Journal, quoted
from autotask.telling import OPEN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from autotask.around.journal_lines import Event
    from autotask.around.marks_left import Mark
    from autotask.settings import Settings

_FINISHED = b'{"event":"finished","run":"'
_SOME = 16  # marks that a launcher looks at when it starts
_NEAR = 1 << 21  # bytes at the end of the journal, in which a launcher looks for lost runs


@guarded
def sweep(settings: Settings) -> None:
    """Close the runs of all dead processes of a home that no launcher closes."""
    home = settings.home
    if home:
        paths = mark_paths(home)
        marks = _tidied(home, paths)
        if any(mark.dead for mark in marks):
            with Alone(home, OPEN) as alone:
                if alone:
                    _sweep(settings, home, paths, marks, ("", 0))


@guarded
def sweep_some(settings: Settings, run: str) -> None:
    """Sweep if that is cheap, and if one of some marks is of a dead process.

    Which marks is left to chance, by a *run*'s id: launchers that start later look at others.
    """
    home = settings.home
    paths = few_mark_paths(home) if home else []
    if not home or not paths:
        return
    first = int(run, 16) % len(paths)
    dead = [mark for mark in _tidied(home, (paths[first:] + paths[:first])[:_SOME]) if mark.dead]
    limit = journal_lines.near(os.path.join(home, "journal"), _NEAR) if dead else ("", 0)
    if any(beginning_of(mark) >= limit for mark in dead):
        with Alone(home, OPEN) as alone:
            if alone:
                _sweep(settings, home, paths, read_marks(paths), limit)


def _tidied(home: str, paths: list[str]) -> list[Mark]:
    """Return the marks of some paths; remove old marks that cannot be read."""
    marks = [mark for mark in map(read_mark, paths) if mark is not None]
    old = [mark for mark in marks if mark.old]
    if old:
        with Alone(home, OPEN) as alone:  # not in a folder of another user
            for mark in old if alone else ():
                mark.remove()
    left = [mark for mark in marks if not mark.old]
    elsewhere.judge(left)
    return left


def _sweep(
    settings: Settings, home: str, paths: list[str], marks: list[Mark], limit: tuple[str, int]
) -> None:
    """Close what dead processes have left open, as far as the journal tells it after *limit*.

    *paths* are all marks of the home, *marks* those that could be read. However many they are, that
    takes two passes over the lines.
    """
    begins: dict[str, tuple[str, int]] = {}  # by root
    for mark in marks:
        begin = beginning_of(mark)
        begins[mark.root] = min(begin, begins.get(mark.root, begin))
    dead = [mark for mark in marks if mark.dead and begins[mark.root] >= limit]
    if not dead:
        return
    notes = Journal(home)
    roots = {mark.root for mark in dead}
    roots |= _open_roots(notes.folder, min(begins[root] for root in roots), dead)
    position = min(begins[root] for root in roots if root in begins)
    story = Story(roots, notes.folder, max(position, limit))
    story.catch_up()
    known = {mark.path for mark in marks}
    new = launchers(path for path in mark_paths(home) if path not in known)  # begun meanwhile
    launched = {mark.launched for mark in living_launchers(marks) + new}
    closer = Closer(settings, notes)
    runs = [run for run in story.open.values() if not run.is_under(launched)]
    closer.close_lost(story, runs, [mark for mark in dead if mark.unseen])
    # A process may have left a mark, or begun to write it, since the marks were listed. If it
    # cannot be seen from here, its launcher's mark alone tells that it is dead. So that one stays,
    # until a sweep has read both.
    late = [read_mark(path) for path in set(mark_paths(home)).difference(paths)]
    unread = {mark.root if mark else None for mark in late}
    remove_done(
        [mark for mark in dead if not mark.launched or unread.isdisjoint((mark.root, None))], story
    )
    closer.finish()
    notes.close()


@guarded
def close_unmarked(
    settings: Settings, home: str, starts: Iterable[Event], living: set[str]
) -> None:
    """Close runs that no mark tells of, because a full disk has taken none.

    *starts* are their first lines. Their processes are dead or `forgotten`. The caller has looked
    for *living* launchers (`under_launchers`) before it read their lines, and is `Alone`.
    """
    notes = Journal(home)
    by_root: dict[str, list[Event]] = {}
    for event in starts:
        by_root.setdefault(text_field(event, "root"), []).append(event)
    closer, story = Closer(settings, notes), Story(set(by_root), notes.folder, ("", 0))
    for root, several in by_root.items():
        if living.isdisjoint((root, *(text_field(event, "run") for event in several))):
            for event in several:  # else a launcher will close them
                story.add(event)
    closer.close_dead(story, [run.key for run in story.open.values()])
    closer.finish()
    notes.close()


def _open_roots(folder: str, position: tuple[str, int], dead: list[Mark]) -> set[str]:
    """Return the roots of the open runs of dead processes: each run without a parent is a root.

    What a launcher starts has one root, which its mark names.
    """
    processes = {mark.key[0] for mark in dead if mark.key[0] and not mark.launched}
    texts = {quoted(process)[1:-1] for process in processes}
    roots: dict[str, str] = {}  # by run
    for line in journal_lines.parts(
        journal_lines.Reader(folder, position).lines() if processes else ()
    ):
        if line.startswith(_FINISHED):
            roots.pop(raw_field(line, b"run"), None)
        elif raw_field(line, b"process") in texts:
            for event in journal_lines.read(line):
                if text_field(event, "process") in processes:
                    roots[text_field(event, "run")] = text_field(event, "root")
    return set(roots.values())
