"""A Rails application: the tasks of its commands, and what Rails runs for itself.

Skipped unless Debian's ruby-railties, ruby-activerecord and ruby-sqlite3, or the same gems, are
installed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ruby.in_short import in_short
from support import RUBY, Ended, Under, run_program, write

FILES = {
    "Gemfile": """\
        gem "railties"
        gem "activerecord"
        gem "sqlite3"
        """,
    "Rakefile": """\
        require_relative "config/application"
        Rails.application.load_tasks
        """,
    "bin/rails": """\
        #!/usr/bin/env ruby
        APP_PATH = File.expand_path("../config/application", __dir__)
        require_relative "../config/boot"
        require "rails/commands"
        """,
    "bin/rake": """\
        #!/usr/bin/env ruby
        require_relative "../config/boot"
        require "rake"
        Rake.application.run
        """,
    "config/boot.rb": """\
        ENV["BUNDLE_GEMFILE"] ||= File.expand_path("../Gemfile", __dir__)
        require "bundler/setup"
        """,
    "config/application.rb": """\
        require_relative "boot"
        require "rails"
        require "active_record/railtie"
        Bundler.require(*Rails.groups)
        module Shop
          class Application < Rails::Application
            config.load_defaults Rails::VERSION::STRING.to_f
            config.eager_load = false
          end
        end
        """,
    "config/environment.rb": """\
        require_relative "application"
        Rails.application.initialize!
        """,
    "config/database.yml": """\
        development:
          adapter: sqlite3
          database: db/development.sqlite3
        """,
    "app/models/order.rb": """\
        class Order < ActiveRecord::Base
        end
        """,
    "db/migrate/20261130000000_create_orders.rb": """\
        class CreateOrders < ActiveRecord::Migration[6.1]
          def change
            create_table(:orders) { |table| table.integer :total }
          end
        end
        """,
    "lib/tasks/orders.rake": """\
        namespace :orders do
          task count: :environment do
            puts "#{Order.count} orders"
          end
          task broken: :environment do
            Order.create!(no_such: 1)
          end
          task nightly: :environment do
            Bundler.with_unbundled_env { sh "bundle exec rake orders:leaf", verbose: false }
          end
          task :leaf do
            puts "leaf"
          end
        end
        """,
}
_TIMES = re.compile(r"\d+\.\d+s")


@pytest.fixture(scope="module")
def rails(ruby: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the application, with a database that has been migrated."""
    gems = [f'gem "{gem}"' for gem in ("railties", "activerecord", "sqlite3")]
    if subprocess.run((ruby, "-e", "; ".join(gems)), capture_output=True).returncode:
        pytest.skip("needs Rails: apt-get install ruby-railties ruby-activerecord ruby-sqlite3")
    if shutil.which("bundle") is None:
        pytest.skip("needs Bundler: apt-get install ruby-bundler")
    place = tmp_path_factory.mktemp("rails") / "shop"
    for name, text in FILES.items():
        write(place / name, text)
    for program in (place / "bin").iterdir():
        program.chmod(0o755)
    (place / "log").mkdir()
    done = run_program("bundle", "exec", "rake", "db:migrate", under="bare", cwd=place)
    assert done.status == 0, done.stderr
    return place


def _run(place: Path, words: str, under: Under) -> Ended:
    env = {"RUBYLIB": str(RUBY)} if under == "path" else {}
    done = run_program(*words.split(), under=under, cwd=place, env=env)
    out, err = (_TIMES.sub("0s", text) for text in (done.stdout, done.stderr))
    return Ended(done.status, out, err)


_CONFIG = ("(environment) success", "(db:load_config) success")
_ROLLBACK = (
    *_CONFIG,
    "db:rollback success",
    "(db:_dump) success in db:rollback",
    "(db:schema:dump) success in db:_dump",
)
_BROKEN = (
    "(environment) success",
    "orders:broken failure exception ActiveModel::UnknownAttributeError orders.rake:6",
)
_UNKNOWN = "rake failure usage 1 RuntimeError"
COMMANDS = {
    "bin/rails db:rollback": (0, "rails db:rollback success", _ROLLBACK),
    "bundle exec rake db:rollback": (0, "rake db:rollback success", _ROLLBACK),
    "bin/rake orders:broken": (1, "rake orders:broken failure nested 1", _BROKEN),
    "bin/rails orders:broken": (1, "rails orders:broken failure nested 1", _BROKEN),
    "bundle exec rake orders:nightly": (
        0,
        "rake orders:nightly success",
        (
            "(environment) success",
            "orders:nightly success",
            # Under the program: Bundler has put the environment from before the task back.
            "orders:leaf success",
        ),
    ),
    "bin/rails no:such": (1, "rails no:such failure nested 1", (f"{_UNKNOWN} rails:4",)),
}


@pytest.mark.parametrize("under", ["path", "launcher"])
@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_of_rails_has_its_tasks_and_is_as_it_is_bare(
    rails: Path, tmp_path: Path, home: Path, words: str, under: Under
) -> None:
    status, program, expected = COMMANDS[words]
    bare = _run(_copied(rails, tmp_path), words, "bare")
    assert (_run(_copied(rails, tmp_path), words, under), bare.status) == (bare, status)
    assert in_short(home) == [program, *expected]


def test_a_script_of_rails_runner_is_as_it_is_bare(rails: Path, home: Path) -> None:
    words = ("bin/rails", "runner", "puts Order.count; abort 'no orders'")
    bare = run_program(*words, under="bare", cwd=rails)
    assert run_program(*words, cwd=rails, env={"RUBYLIB": str(RUBY)}) == bare
    assert bare == Ended(1, "0\n", "no orders\n")
    assert in_short(home)[0].startswith("rails runner failure ")


def _copied(rails: Path, tmp_path: Path) -> Path:
    """Copy the application as it was to the same place."""
    place = tmp_path / "shop"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(rails, place)
    return place
