"""Tasks that Rails and Capistrano run for themselves, as far as a Rakefile shows them."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruby.in_short import in_short
from support import RUBY, run_program, write

RAKEFILE = """\
task(:environment) { }
task("db:load_config" => :environment) { }
task("db:schema:dump") { }
task("db:_dump") { Rake::Task["db:schema:dump"].invoke }
task("db:_dump:animals") { }
task("db:migrate" => "db:load_config") { Rake::Task["db:_dump"].invoke }
task("shop:environment") { }
"""
BROKEN = 'task(:environment) { raise IOError, "no database" }\n'
# A program that has Capistrano loaded is not Capistrano.
LOADED = """\
module Capistrano
  Application = Class.new(Rake::Application)
end
task(:production) { }
"""
CAP = f"""\
require "rake"
{LOADED}
Rake.application = Capistrano::Application.new
task(:production) {{ Rake::Task["rvm:hook"].invoke }}
task("rvm:hook") {{ }}
task(:deploy) {{ }}
task(:install) {{ }}
Rake.application.init("cap", ARGV)
Rake.application.top_level
"""
COMMANDS = {
    "rake db:migrate": (
        "(environment) success",
        "(db:load_config) success",
        "db:migrate success",
        "(db:_dump) success in db:migrate",
        "(db:schema:dump) success in db:_dump",
    ),
    "rake db:schema:dump": ("db:schema:dump success",),
    "rake db:_dump:animals": ("(db:_dump:animals) success",),
    "rake shop:environment": ("shop:environment success",),
    "rake -f Broken environment": ("(environment) failure exception IOError Broken:1",),
    "rake -f Loaded production": ("production success",),
    "ruby cap.rb production deploy": (
        "(production) success",
        "(rvm:hook) success in production",
        "deploy success",
    ),
    "ruby cap.rb install": ("install success",),
}


@pytest.mark.parametrize("words", COMMANDS)
def test_what_a_framework_runs_for_itself_is_marked(
    ruby: str, tmp_path: Path, home: Path, words: str
) -> None:
    for name, text in {
        "Rakefile": RAKEFILE,
        "Broken": BROKEN,
        "Loaded": LOADED,
        "cap.rb": CAP,
    }.items():
        write(tmp_path / name, text)
    run_program(*words.split(), under="bare", cwd=tmp_path, env={"RUBYLIB": str(RUBY)})
    assert tuple(in_short(home)[1:]) == COMMANDS[words]
