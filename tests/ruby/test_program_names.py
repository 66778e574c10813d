"""A program of Ruby has the same name with a launcher, which Python gives, and without one."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest
from ruby.half import Half, without_ruby

from autotask.command_name import innermost_name
from autotask.naming import name_of, serves

pytestmark = without_ruby

PROGRAM = """
AutotaskAgent.evaluate("process_run")
def name(words)
  run = AutotaskAgent::ProcessRun
  run.send(:name_of, run.send(:through_bundler, words))
end
def servers
  AutotaskAgent::ProcessRun::SERVERS
end
"""


@pytest.fixture(scope="module")
def half() -> Iterator[Half]:
    half = Half(PROGRAM)
    yield half
    half.close()


COMMANDS = [
    "job.rb hunter2",
    "bin/rake db:migrate db:seed",
    "rake -s db:migrate",
    "rake KEY=hunter2 mail",
    "rake mail[hunter2]",
    "rake -T",
    "rake",
    "bundle exec rake db:migrate",
    "bundle install hunter2",
    "bin/rails db:migrate",
    "rails runner hunter2",
    "cap production deploy hunter2",
    "cap production",
    "cap production KEY=hunter2 deploy",
    "thor shop:greet hunter2",
]


@pytest.mark.parametrize("line", COMMANDS)
def test_both_halves_give_a_program_the_same_name(half: Half, line: str) -> None:
    words = shlex.split(line)
    assert half("name", words) == name_of(words, innermost_name)


def test_what_is_a_server_in_ruby_is_one_in_python(half: Half) -> None:
    for name in half("servers"):
        assert serves(name_of(name.split(), innermost_name), name.split()), name
