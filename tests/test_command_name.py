"""What a command's run is called: never an argument, and never what only starts it."""

from __future__ import annotations

import shlex

import pytest

from autotask import command_name, naming, wrapper_commands
from autotask.command_name import name_of, name_of_line

JOBS = [
    # a plain command and its name
    ("./python_backup.sh /var/data", "python_backup.sh"),
    ("/srv/bin/backup --key hunter2", "backup"),
    ("python-config --prefix", "python-config"),
    ("python3 nightly.py hunter2", "nightly.py"),
    ("python3.12 -u -W ignore -X dev /srv/nightly.py", "nightly.py"),
    ("/srv/venv/bin/python -m pkg.jobs hunter2", "pkg.jobs"),
    ("pypy3 -mpkg hunter2", "pkg"),
    ("python3 -c print(1) hunter2", "python3"),
    ("python3", "python3"),
    ("python3 - hunter2", "python3"),
    ("python3 /srv/app.pyz hunter2", "app.pyz"),
    ("php -d memory_limit=1G /srv/cron.php hunter2", "cron.php"),
    ("php8.2 -f /srv/cron.php hunter2", "cron.php"),
    ("php -r hunter2", "php"),
    ("perl -w -I /srv/lib job.pl hunter2", "job.pl"),
    ("perl -e hunter2", "perl"),
    ("ruby -I lib job.rb hunter2", "job.rb"),
    ("ruby --disable-gems -W0 -W:no-deprecated --yjit job.rb hunter2", "job.rb"),
    ("ruby3.1 -w -Eutf-8 --enable=frozen-string-literal /srv/job.rb hunter2", "job.rb"),
    ("ruby -W -S job.rb hunter2", "job.rb"),
    ("jruby --dev -S job hunter2", "job"),
    ("ruby -e hunter2", "ruby"),
    ("ruby -w --new hunter2 job.rb", "ruby"),
    ("node --max-old-space-size=4096 --require ./env job.js hunter2", "job.js"),
    ("nodejs -e hunter2", "nodejs"),
    ("node --unknown hunter2 job.js", "node"),
    ("node --eval=hunter2() /srv/hunter2", "node"),
    ("php --file=job.php hunter2", "php"),
    ("Rscript --vanilla report.R hunter2", "report.R"),
    ("sh backup.sh hunter2", "backup.sh"),
    ("bash -eu -o pipefail /srv/backup.sh hunter2", "backup.sh"),
    ("zsh", "zsh"),
    ("bash -s hunter2", "bash"),
    ("/", "/"),
]
WRAPPED = [
    # what starts `job hunter2`, which replaces {}
    "env {}",
    "/usr/bin/env -i -u X A=hunter2 B= {}",
    "env - {}",
    "env -C /srv --unset=X {}",
    "env --chdir /srv -- A=b {}",
    "nice -n 5 {}",
    "nice -n5 {}",
    "nice -10 {}",
    "nice --adjustment 5 {}",
    "ionice -c2 -n7 {}",
    "ionice -c 3 {}",
    "chrt -i 0 {}",
    "taskset -c 0,1 {}",
    "timeout 40s {}",
    "timeout -k 5 --signal=INT 10 {}",
    "timeout --kill-after 5 --foreground 10 {}",
    "flock -n /run/job.lock {}",
    "flock -w 5 -E 0 /run/job.lock {}",
    "flock /run/job.lock -c 'job hunter2'",
    "flock --exclusive /run/job.lock --command 'job hunter2 >> /var/log/job'",
    "setsid --wait {}",
    "stdbuf -oL -e 0 {}",
    "chronic {}",
    "chronic -ve {}",
    "cronic {}",
    "run-one {}",
    "nohup {}",
    "nohup -- {}",
    "time -p {}",
    "time -f %e -o /tmp/time {}",
    "xvfb-run -a -s '-screen 0 640x480x8' {}",
    "xvfb-run --auto-servernum --server-args='-screen 0' {}",
    "systemd-cat -t mail {}",
    "systemd-run --scope -p MemoryMax=1G --uid mail {}",
    "sudo {}",
    "sudo -u mail -E A=hunter2 {}",
    "sudo -n --user=mail -- {}",
    "doas -u mail {}",
    "su - mail -c 'job hunter2'",
    "su -c 'cd /srv && job hunter2' mail",
    "su mail -s /bin/sh --command='job hunter2'",
    "runuser -u mail -- {}",
    "runuser -l mail -c 'job hunter2'",
    "gosu mail {}",
    "setpriv --reuid=mail --init-groups {}",
    "tini -g -- {}",
    "dumb-init -r 15:3 {}",
    "sh -c 'job hunter2'",
    "sh -ec 'exec job hunter2' sh hunter2",
    "bash -lc 'job hunter2'",
    "bash -l -c -- 'job hunter2'",
    "bash --norc -o pipefail -c 'job hunter2'",
    "bash -euo pipefail -c 'job hunter2'",
    "docker exec -it -e KEY=hunter2 --user mail web-1 {}",
    "docker --context far container exec web-1 {}",
    "docker compose -f a.yml exec -T web {}",
    "docker-compose --project-name shop exec --index 2 web {}",
    "podman exec -w /srv web-1 {}",
    "kubectl -n shop exec -c web pod-1 -- {}",
    "kubectl exec pod-1 -it -c web -- {}",
    "uv run {}",
    "uv run --with requests --python 3.12 --no-sync {}",
    "uv --directory /srv run -- {}",
    "uvx --from hunter2 {}",
    "poetry -C /srv run {}",
    "pipenv run {}",
    "pdm run {}",
    "hatch run {}",
    "hatch -e test run {}",
    "hatch run test:job hunter2",
    "hatch run +py=hunter2 test:job hunter2",
    "conda run -n shop --no-capture-output {}",
    "pipx run --spec hunter2 {}",
    "bundle exec {}",
    "bundle exec --keep-file-descriptors {}",
    "ruby -S bundle exec {}",
    "rbenv exec bundle exec {}",
    "asdf exec {}",
    "mise exec -- {} -- hunter2",
    "mise x ruby@3.2 node@20 -- {} -- hunter2",
    "rvm 3.2.0@hunter2 do {}",
    "chruby-exec 3.2 -- {}",
    "npx -y -p hunter2 {}",
    "dotenv -f /srv/.env run -- {}",
    "direnv exec /srv {}",
    "doppler run -p hunter2 -- {}",
    "autotask-run --tag a:b --name=x {}",
    "autotask-run --tag a:b --shell 'cd /srv && job hunter2 | tee log'",
    "autotask-run --exec --shell='cd /srv && job hunter2'",
    "ddtrace-run {}",
    "newrelic-admin run-program {}",
    "newrelic-admin run-python /srv/job hunter2",
    "opentelemetry-instrument --traces_exporter console --service_name=hunter2 {}",
    "elasticapm-run --config service_name=hunter2 {}",
    "cronitor exec d3adb3 {}",
    "coverage run /srv/job hunter2",
    "coverage run -p --source=shop --data-file hunter2 -m job hunter2",
    "python -m coverage run --branch -m job hunter2",
    "python3 /srv/venv/bin/coverage run --rcfile hunter2 job hunter2",
    "python -m cProfile -o hunter2 -s time job hunter2",
    "python -m cProfile -m job hunter2",
    "python -m trace --count -C hunter2 job hunter2",
    "python -m trace --trace --module job hunter2",
    "python -m pdb -c hunter2 -m job hunter2",
    "python -Xfrozen_modules=off -m debugpy --listen 5678 --wait-for-client job hunter2",
    "debugpy --connect hunter2:5678 -m job hunter2",
    "pyinstrument -o hunter2 -m job hunter2",
    "viztracer --output_file hunter2 job hunter2",
    "memray run -o hunter2 -m job hunter2",
    "py-spy record -o hunter2 -- python -m job hunter2",
    # one inside another
    "flock -n /run/a.lock nice -n 5 timeout 10 env A=b {}",
    "chronic nice ionice -c 3 {}",
    "sudo -u mail bash -lc 'cd /srv && nice uv run python -m job hunter2'",
    "su - mail -c \"flock -n /run/a.lock -c 'exec job hunter2'\"",
    "ddtrace-run python -u -m job hunter2",
    "nice /srv/venv/bin/python -I /srv/venv/bin/ddtrace-run python job hunter2",
    # a whole line in one word, and the assignment before it
    "'job hunter2'",
    "'cd /srv && PGPASSWORD=hunter2 job hunter2 > /tmp/x'",
    "PGPASSWORD=hunter2 {}",
    "PGPASSWORD=hunter2 A='b c' nice {}",
]
# An unknown option may take an argument: the run is named after the program.
UNREAD = [
    ("timeout --new hunter2 job", "timeout"),
    ("timeout -m 5 hunter2 job", "timeout"),
    ("sudo -Zu mail job", "sudo"),
    ("env -S 'hunter2 job'", "env"),
    ("env --split-string='job hunter2' hunter2", "env"),
    ("nice 'job --key=hunter2 /srv/hunter2'", "job"),
    ("flock /run/x.lock 'cd /srv && job hunter2'", "job"),
    ("timeout 5 bash 'job hunter2'", "job"),
    ("sudo 'job --key=hunter2 /srv/hunter2'", "sudo"),
    ("python3 'job.py --key=hunter2'", "python3"),
    ("python3 -m 'job hunter2'", "python3"),
    ("docker run --rm -e hunter2 image job", "docker run"),
    ("docker exec --new hunter2 web-1 job", "docker exec"),
    ("kubectl exec pod-1 -c web hunter2", "kubectl"),
    ("docker exec web-1 -x hunter2", "docker exec"),
    ("uv run --new hunter2 job", "uv"),
    ("uv sync hunter2", "uv"),
    ("uv run https://example.com/job.py?hunter2", "job.py"),
    ("uv run https://example.com/job.py?key=hunter2", "uv"),
    ("poetry publish -p hunter2", "poetry"),
    ("rvm use hunter2", "rvm"),
    ("rvm 3.2 --new hunter2 do job", "rvm"),
    ("mise exec ruby@3.2 --new hunter2 job", "mise"),
    ("bundle install hunter2", "bundle"),
    ("coverage report hunter2", "coverage"),
    ("python -m coverage report hunter2", "coverage"),
    ("python -m cProfile --new hunter2 job", "cProfile"),
    ("python -m debugpy --listen 5678 -c hunter2", "debugpy"),
    ("flock /run/job.lock", "flock"),
    ("env A=hunter2", "env"),
    ("env job A=hunter2", "job"),
    ("nice", "nice"),
    ("su - hunter2", "su"),
    ("ssh -i hunter2 host job", "ssh"),
]
LINES = [
    # a shell's line and its name
    ("cd /srv && job hunter2", "job"),
    ("cd /srv; . ./env; export A=hunter2; job hunter2; exit $?", "job"),
    ("source env.sh && A=hunter2 B=$(hunter2) job", "job"),
    ("test -x /srv/job && job || exit 1", "job"),
    ("[ $(date +%d) -le 07 ] && job", "job"),
    ("[[ -f /srv/x && $A == hunter2 ]] && job", "job"),
    ("[ -x /srv/job ] && if [ ! -d /run/x ]; then /srv/job hunter2; fi", "job"),
    ("test -x /srv/other || ( cd / && job hunter2 )", "job"),
    ("sleep $((RANDOM % 40 + 10)); job", "job"),
    ("command -v job > /dev/null && job 1 1", "job"),
    ("first && job", "job"),
    ("job hunter2 | gzip > /srv/$(date +%F).gz", "job"),
    ("job 2>&1|logger -t hunter2", "job"),
    ("cd /srv && job | sort | uniq", "job"),
    ("yes | job", "job"),
    ("job || notify hunter2", "job"),
    ("job && echo done hunter2", "job"),
    ("job && curl -fsS https://hunter2.example", "job"),
    ("curl -fsS https://hunter2.example", "curl"),
    ("job >> /var/log/hunter2 2>&1", "job"),
    ("job > hunter2", "job"),
    (">hunter2 job", "job"),
    ("echo >| /srv/log hunter2", "echo"),
    ("2>&- job hunter2", "job"),
    ("job 0<&- hunter2", "job"),
    ("job &> hunter2", "job"),
    ("job < <(hunter2)", "job"),
    ("job <<EOF\nhunter2 x\nEOF\nhunter2", "job"),
    ("job <<< hunter2", "job"),
    ("job  # hunter2 && hunter2", "job"),
    ("job &", "job"),
    ("(job)", "job"),
    ("{ cd /srv; job; }", "job"),
    ("! job", "job"),
    ("time -p job", "job"),
    ("if job; then exit 0; else exit 1; fi", "job"),
    ("while read -r hunter2; do job $hunter2; done < list", "job"),
    ("for hunter2 in a b; do job $hunter2; done", "job"),
    ("case $1 in hunter2) job ;; esac", "job"),
    ("hunter2() { job; }", "job"),
    ("A=(hunter2 hunter2); job", "job"),
    ("((hunter2 > 1)) && job", "job"),
    ("$HOME/bin/job hunter2", "job"),
    ('"${HOME}/my bin/job" hunter2', "job"),
    ("~/bin/job", "job"),
    ("'/srv/job' \"hunter2\" 'hunter2'", "job"),
    ("/srv/jo\\b hunter2", "job"),
    ("cd /srv &&\\\n  job", "job"),
    ("cd /srv\njob\n", "job"),
    ("job \"$(hunter2 ')' \\) )\" `hunter2`", "job"),
    ("mysqldump --password=hunter2 db", "mysqldump"),
    ("flock -n /run/x.lock nice python3 /srv/job hunter2 >> /var/log/x 2>&1", "job"),
    ("job && autotask check", "job"),
    ("job; timeout 5 $hunter2", "job"),
    ("job; $hunter2", "job"),
    ("job; nice $hunter2 x", "job"),
    ("job; `hunter2` x", "job"),
    ("job; shopt -u hunter2; let hunter2=1; break", "job"),
    ("job; 'hunter2 x'", "job"),
    # nothing that could give a name
    ("exit 3", "sh"),
    ("kill -9 $$", "sh"),
    ("$hunter2", "sh"),
    ("eval hunter2", "sh"),
    ("A=hunter2", "sh"),
    ("", "sh"),
    ("'hunter2", "hunter2"),  # unfinished
    ("sleep 5", "sleep"),
    ("echo hunter2; exit 3", "echo"),
    ("python3 -c 'import hunter2'", "python3"),
]
# As in real crontabs.
CRONTABS = [
    ("cd / && run-parts --report /etc/cron.hourly", "cron.hourly"),
    ("test -x /usr/sbin/anacron || ( cd / && run-parts --report /etc/cron.daily )", "cron.daily"),
    (
        (
            "test -x /usr/bin/certbot -a \\! -d /run/systemd/system"
            " && perl -e 'sleep int(rand(43200))' && certbot -q renew"
        ),
        "certbot renew",
    ),
    (
        (
            "[ -x /usr/lib/php/sessionclean ] && if [ ! -d /run/systemd/system ];"
            " then /usr/lib/php/sessionclean; fi"
        ),
        "sessionclean",
    ),
    ("command -v debian-sa1 > /dev/null && debian-sa1 1 1", "debian-sa1"),
    ("flock -n /tmp/a.lock /usr/bin/python3 /opt/rules.py >> /var/log/rules 2>&1", "rules.py"),
    ("sleep 90 && flock -n /run/a.lock /usr/local/sbin/watchdog >/dev/null 2>&1", "watchdog"),
    ('flock -n /tmp/a.lock -c "/bin/bash /bin/wlan.sh >> /var/log/wlan 2>&1"', "wlan.sh"),
    ('su - postgres -c "python3 dav2abook.py ann" > /var/lib/ann.abook', "dav2abook.py"),
    ("/usr/bin/docker system prune -a --filter 'until=48h' -f 2>&1|logger -t x", "docker system"),
    (
        "flock -n /tmp/a.lock docker exec -i web-1 php artisan schedule:run -n >>/var/log/a 2>&1",
        "artisan schedule:run",
    ),
    ("cd /var/www/app/ && php artisan schedule:run >> /dev/null 2>&1", "artisan schedule:run"),
    (
        "docker compose exec postgres pg_dump -U ann shop | gzip > /srv/db-$(date +%Y%m%d).sql.gz",
        "pg_dump",
    ),
    (
        (
            "/bin/bash -l -c 'cd /srv/app && RAILS_ENV=production bundle exec rake member:expire"
            " --silent >> log/rake.log 2>&1'"
        ),
        "rake member:expire",
    ),
    ("sleep $((RANDOM % 40 + 10)); crm114/learn_maildir", "learn_maildir"),
    ("[ $(date +%d) -le 07 ] && nodejs /trello/monthly.js", "monthly.js"),
    ("chronic nice ionice -c 3 notmuch new", "notmuch"),
    (
        ". $HOME/.profile; cd /srv && xvfb-run --auto-servernum bin/python3 /srv/main.py",
        "main.py",
    ),
    ("timeout 40s /srv/bot.py --execute --user-id 1234 --config a_", "bot.py"),
    (
        "timeout 900 /srv/confirm.py >> /srv/confirm.log 2>&1   # 21:05 the second time",
        "confirm.py",
    ),
]
ROUTED = [
    ("php artisan schedule:run --no-interaction", "artisan schedule:run"),
    ("php /srv/bin/console -q app:mail hunter2", "console app:mail"),
    ("rake membership:expire --silent", "rake membership:expire"),
    ("bundle exec rake -s db:migrate hunter2", "rake db:migrate"),
    ("rake --trace -j 4 -f lib/hunter2 db:migrate hunter2", "rake db:migrate"),
    ("rake --jobs=4 --rakefile=hunter2 -AT hunter2", "rake"),
    ("rake -e hunter2 hunter2", "rake"),
    ("rake -T", "rake"),
    ("rake --new hunter2 mail", "rake"),
    ("bin/rake db:migrate db:seed", "rake db:migrate"),
    ("bin/rails db:migrate RAILS_ENV=hunter2", "rails db:migrate"),
    ("bundle exec rails runner -e production hunter2", "rails runner"),
    ("ruby -S rake db:migrate", "rake db:migrate"),
    ("/usr/bin/ruby3.1 /srv/bin/rails db:migrate", "rails db:migrate"),
    ("cap production deploy hunter2", "cap production deploy"),
    ("bundle exec cap -t production deploy:check KEY=hunter2", "cap production deploy:check"),
    ("cap production -s deploy", "cap production deploy"),
    ("cap production KEY=hunter2 deploy", "cap production"),
    ("cap -z hunter2 production deploy", "cap"),
    ("cap -T", "cap"),
    ("thor shop:greet hunter2", "thor shop:greet"),
    ("thor", "thor"),
    ("rake mail[hunter2]", "rake"),
    ("rake KEY=hunter2 mail", "rake"),
    ("certbot -q renew", "certbot renew"),
    ("autotask check --ping https://x.example/hunter2", "autotask check"),
    ("autotask", "autotask"),
    ("certbot --email hunter2 renew", "certbot"),
    ("python manage.py clearsessions hunter2", "manage.py clearsessions"),
    ("./manage.py clearsessions", "manage.py clearsessions"),
    ("coverage run manage.py test hunter2", "manage.py test"),
    ("django-admin check", "django-admin check"),
    ("python -m django check", "django check"),
    ("npm run build -- hunter2", "npm run build"),
    ("npm ci", "npm ci"),
    ("docker system prune", "docker system"),
    ("docker compose run --rm web job", "docker compose"),
    ("make -s backup KEY=hunter2", "make backup"),
    ("make -C hunter2 backup", "make"),
    ("artisan", "artisan"),
]


@pytest.mark.parametrize(("line", "name"), [*JOBS, *UNREAD, *ROUTED])
def test_a_command_is_named_without_its_arguments(line: str, name: str) -> None:
    assert name_of(shlex.split(line)) == name


@pytest.mark.parametrize("line", WRAPPED)
def test_a_wrapper_command_is_looked_through(line: str) -> None:
    assert name_of(shlex.split(line.replace("{}", "job hunter2"))) == "job"


@pytest.mark.parametrize(("line", "name"), [*LINES, *CRONTABS])
def test_a_shell_line_is_named_after_its_last_significant_command(line: str, name: str) -> None:
    for command in (["sh", "-c", line], ["flock", "/run/x", "-c", line], ["su", "-c", line]):
        assert name_of(command) == name
    assert name_of_line(line) == name


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("/opt/shop/export --all", "export"),
        ("cd /opt/shop && ./read; sleep 5", "read"),
        ("python3 -m export", "export"),
        ("nice run-parts /etc/jobs", "jobs"),
        ("./job; /bin/true", "job"),
        ("./job && export DONE=1", "job"),
    ],
)
def test_a_script_called_like_a_builtin_names_a_line(line: str, name: str) -> None:
    assert name_of_line(line) == name


GIVEN = [
    # in front of the command that names the line
    ("AUTOTASK_NAME=nightly ./job hunter2", "nightly"),
    ("AUTOTASK_NAME='nightly mail' ./job", "nightly mail"),
    ('AUTOTASK_NAME="nightly" ./job', "nightly"),
    (r"AUTOTASK_NAME=nightly\ mail ./job", "nightly mail"),
    ("A=hunter2 AUTOTASK_NAME=nightly B=hunter2 ./job", "nightly"),
    ("cd /srv && AUTOTASK_NAME=nightly ./job >> log 2>&1", "nightly"),
    ("AUTOTASK_NAME=dump pg_dump shop | gzip > shop.gz", "dump"),
    ("if AUTOTASK_NAME=nightly ./job; then curl -s http://up; fi", "nightly"),
    ("AUTOTASK_NAME=first ./a; AUTOTASK_NAME=second ./b", "second"),
    ("AUTOTASK_NAME=nightly flock -n /run/x ./job", "nightly"),
    # in front of the first one
    ("AUTOTASK_NAME=nightly cd /srv && ./job", "nightly"),
    ("AUTOTASK_NAME=nightly $JOB", "nightly"),
    ("AUTOTASK_NAME=nightly true", "nightly"),
    # not what names the line
    ("./job || AUTOTASK_NAME=alarm mail ann", "job"),
    ("./job AUTOTASK_NAME=hunter2", "job"),
    ("echo 'AUTOTASK_NAME=hunter2 ./job'", "echo"),
    ("# AUTOTASK_NAME=hunter2\n./job", "job"),
    # not literal, or no name
    ("AUTOTASK_NAME=$HOST-hunter2 ./job", "job"),
    ("AUTOTASK_NAME=`hostname` ./job", "job"),
    ('AUTOTASK_NAME="a $(hostname)" ./job', "job"),
    ("AUTOTASK_NAME= ./job", "job"),
    ("AUTOTASK_NAME+=hunter2 ./job", "job"),
    ("AUTOTASK_NAME=hunter2", "sh"),
    ("", "sh"),
]


@pytest.mark.parametrize(("line", "name"), GIVEN)
def test_a_shell_line_can_name_itself(line: str, name: str) -> None:
    assert name_of_line(line) == name


def test_the_tables_agree() -> None:
    several = {key for key, (_, _, before) in wrapper_commands._WRAPPERS.items() if before == "..."}
    below = {key.rpartition(" ")[0] for key in wrapper_commands._WRAPPERS if key[:3] != "-m "}
    assert below - {""} == several
    known = {*wrapper_commands._WRAPPERS, *command_name._ROUTERS, *command_name._INTERPRETERS}
    names = {key.removeprefix("-m ").partition(" ")[0] for key in known}
    assert {*names, *command_name.SHELLS, "su"} == set(naming._LEADING.split())
