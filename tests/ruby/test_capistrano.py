"""Capistrano: the tasks of a deployment, and what it runs for itself.

Skipped unless Debian's capistrano, or the same gem, is installed. Its commands run on this machine.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from ruby.in_short import in_short
from support import RUBY, Ended, Under, run_program, write

FILES = {
    "Capfile": """\
        require "capistrano/setup"
        require "capistrano/deploy"
        """,
    "config/deploy/production.rb": """\
        server "localhost", roles: [:app]
        """,
    "config/deploy.rb": """\
        set :application, "shop"
        set :deploy_to, File.expand_path("srv")
        set :scm, nil
        set :sshkit_backend, SSHKit::Backend::Local
        after "production", "shop:hook" do
        end
        after "deploy:new_release_path", "shop:unpack" do
          on(roles(:app)) { execute :mkdir, "-p", release_path }
        end
        after "deploy:updated", "shop:build" do
          raise KeyError, "no such asset" if ENV["BREAK"]
          on(roles(:app)) { execute :touch, release_path.join("built") }
        end
        after "deploy:failed", "shop:tell" do
          puts "told"
        end
        namespace :shop do
          task :ping do
            on(roles(:app)) { execute :false }
          end
        end
        """,
}
_STAGE = (
    "(production) success",
    "(load:defaults) success in production",
    "(shop:hook) success in production",
)
_TO_UPDATED = (
    "deploy:starting success in deploy",
    "deploy:check success in deploy:starting",
    "deploy:check:directories success in deploy:check",
    "deploy:new_release_path success in deploy",
    "shop:unpack success in deploy:new_release_path",
    "deploy:updating success in deploy",
)
_NO_ASSET = "KeyError deploy.rb:11"
COMMANDS = {
    "cap production deploy": (
        *_STAGE,
        "deploy success",
        *_TO_UPDATED,
        "deploy:updated success in deploy",
        "shop:build success in deploy:updated",
        "deploy:symlink:release success in deploy:publishing",
        "deploy:finished success in deploy",
    ),
    "BREAK=1 cap production deploy": (
        *_STAGE,
        f"deploy failure nested {_NO_ASSET}",
        *_TO_UPDATED,
        f"deploy:updated failure nested {_NO_ASSET} in deploy",
        f"shop:build failure exception {_NO_ASSET} in deploy:updated",
        "deploy:failed success",
        "shop:tell success in deploy:failed",
    ),
    "cap production shop:ping": (
        *_STAGE,
        "shop:ping failure exception SSHKit::Runner::ExecuteError deploy.rb:19",
    ),
    "cap production no:such": (*_STAGE, "rake failure usage 1 RuntimeError"),
    "cap deploy": ("(ensure_stage) failure exit 1",),
}
# What differs from run to run: releases, ids, times; a thread's address.
_CHANCE = re.compile(r"\b\d{14}\b|\[[0-9a-f]{8}\]|\d\.\d{3}s?\b|0x[0-9a-f]+|\d\d:\d\d:?[\d.]*")


@pytest.fixture
def deployment(ruby: str, tmp_path: Path) -> Path:
    """Make what Capistrano needs to deploy to this machine."""
    if shutil.which("cap") is None:
        pytest.skip("needs Capistrano: apt-get install capistrano")
    place = tmp_path / "shop"
    for name, text in FILES.items():
        write(place / name, text)
    return place


def _run(place: Path, words: str, under: Under) -> Ended:
    """Run a command in a fresh place; return what must be the same as without us."""
    shutil.rmtree(place / "srv", ignore_errors=True)
    shutil.rmtree(place / "log", ignore_errors=True)
    assigned, _, command = words.rpartition("cap ")
    env = dict(word.split("=") for word in assigned.split())
    if under == "path":
        env["RUBYLIB"] = str(RUBY)
    done = run_program("cap", *command.split(), under=under, cwd=place, env=env)
    return Ended(done.status, _CHANCE.sub("", done.stdout), _CHANCE.sub("", done.stderr))


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_of_capistrano_has_its_tasks_and_is_as_it_is_bare(
    deployment: Path, home: Path, words: str
) -> None:
    bare = _run(deployment, words, "bare")
    assert _run(deployment, words, "path") == bare
    program, *found = in_short(home)
    name = words.removeprefix("BREAK=1 ")
    assert program.startswith(f"{name} {'failure nested 1' if bare.status else 'success'}")
    assert [run for run in found if run in COMMANDS[words]] == list(COMMANDS[words]), found
    assert bare.status == ("success" not in program)


def test_under_the_launcher_a_deployment_has_the_same_tasks(deployment: Path, home: Path) -> None:
    words = "BREAK=1 cap production deploy"
    bare = _run(deployment, words, "bare")
    assert _run(deployment, words, "launcher") == bare
    found = in_short(home)
    assert [run for run in found if run in COMMANDS[words]] == list(COMMANDS[words]), found
