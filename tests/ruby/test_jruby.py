"""JRuby, which has no use for RUBYLIB's door: it is asked to load the agent by RUBYOPT.

Skipped unless Debian's jruby, or another one, is installed. Rake is the one of this machine's Ruby.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from ruby.in_short import in_short
from support import RUBY, run_program, write

RAKEFILE = """\
task(:ok) { puts "ok" }
task(broken: :ok) { raise IOError, "no database" }
"""


def test_under_jruby_tasks_are_recorded_and_the_program_is_as_it_is_bare(
    ruby: str, tmp_path: Path, home: Path
) -> None:
    if shutil.which("jruby") is None:
        pytest.skip("needs JRuby: apt-get install jruby")
    find = 'puts Gem::Specification.find_by_name("rake").full_gem_path'
    rake = subprocess.run((ruby, "-e", find), capture_output=True, text=True, check=True)
    place = rake.stdout.strip()
    write(tmp_path / "Rakefile", RAKEFILE)
    words = ("jruby", "-I", f"{place}/lib", f"{place}/exe/rake", "broken")
    env = {"JRUBY_OPTS": "--dev"}
    bare = run_program(*words, under="bare", cwd=tmp_path, env=env)
    assert bare.status == 1
    assert "no database" in bare.stderr
    env["RUBYOPT"] = f"-r{RUBY}/rubygems/defaults/ruby.rb"
    assert run_program(*words, under="bare", cwd=tmp_path, env=env) == bare
    program, *tasks = in_short(home)
    assert program.startswith("rake broken failure ")
    assert tasks == ["ok success", "broken failure exception IOError Rakefile:2"]


def test_rubylib_alone_is_nothing_to_jruby(tmp_path: Path, home: Path) -> None:
    if shutil.which("jruby") is None:
        pytest.skip("needs JRuby: apt-get install jruby")
    script = write(tmp_path / "shop.rb", "puts 'sold'")
    done = run_program("jruby", script, under="bare", env={"RUBYLIB": str(RUBY)})
    assert (done.status, done.stdout) == (0, "sold\n")
    assert not home.exists()
