"""Lines of crontabs: 22 that people have published, and the corners of the manuals.

Each with what cron does of it: when, for whom, what the shell gets, how its run is named, and when
it is next due after the moment `AFTER`, in Berlin.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

ZONE = "Europe/Berlin"
AFTER = datetime.fromisoformat("2026-11-30T12:00:00+01:00")  # a Monday


class Row(NamedTuple):
    """A line, and what is expected of it."""

    when: str
    command: str  # what the shell gets
    name: str
    due: str | None  # `12-01 02:15`, in this or the next years; None: at boot
    user: str | None = None  # of a system crontab
    line: str = ""  # if it is not simply what is before

    def __str__(self) -> str:
        """Write the line as it stands in a crontab."""
        return self.line or " ".join(filter(None, [self.when, self.user, self.command]))


# fmt: off
# ruff: noqa: E501
PUBLISHED = [
    Row("17 * * * *", "cd / && run-parts --report /etc/cron.hourly", "cron.hourly", "11-30 12:17", "root", line="17 *\t* * *\troot    cd / && run-parts --report /etc/cron.hourly"),
    Row("25 6 * * *", "test -x /usr/sbin/anacron || ( cd / && run-parts --report /etc/cron.daily )", "cron.daily", "12-01 06:25", "root", line="25 6\t* * *\troot\ttest -x /usr/sbin/anacron || ( cd / && run-parts --report /etc/cron.daily )"),
    Row("0 */12 * * *", "test -x /usr/bin/certbot -a \\! -d /run/systemd/system && perl -e 'sleep int(rand(43200))' && certbot -q renew", "certbot renew", "12-01 00:00", "root"),
    Row("09,39 * * * *", "[ -x /usr/lib/php/sessionclean ] && if [ ! -d /run/systemd/system ]; then /usr/lib/php/sessionclean; fi", "sessionclean", "11-30 12:09", "root", line="09,39 *     * * *     root   [ -x /usr/lib/php/sessionclean ] && if [ ! -d /run/systemd/system ]; then /usr/lib/php/sessionclean; fi"),
    Row("5-55/10 * * * *", "command -v debian-sa1 > /dev/null && debian-sa1 1 1", "debian-sa1", "11-30 12:05", "root"),
    Row("5-59/5 * * * *", "flock -n /tmp/rule_engine.lock /usr/bin/python3 /opt/control/rule_engine.py >> /var/log/control/rule_engine.log 2>&1", "rule_engine.py", "11-30 12:05", "root"),
    Row("@reboot", "sleep 90 && flock -n /run/watchdog.lock /usr/local/sbin/watchdog >/dev/null 2>&1", "watchdog", None, "root"),
    Row("* * * * *", 'flock -n /tmp/ap0_manage.lock -c "/bin/bash /bin/manage-ap0-iface.sh >> /var/log/ap0.log 2>&1"', "manage-ap0-iface.sh", "11-30 12:01", "root"),
    Row("57 05 * * *", 'su - postgres -c "python3 davical2abook.py username" > /var/lib/squirrelmail/data/username.abook', "davical2abook.py", "12-01 05:57", "root"),
    Row("@daily", "/usr/bin/docker system prune -a --filter 'until=48h' -f 2>&1|logger -t docker-system-prune", "docker system", "12-01 00:00", "root"),
    Row("* * * * *", "flock -n /tmp/app_schedule.lock docker exec -i app-web-1 php artisan schedule:run --no-interaction >>/var/log/app_schedule.log 2>&1", "artisan schedule:run", "11-30 12:01", "root"),
    Row("* * * * *", "cd /var/www/app/ && php artisan schedule:run >> /dev/null 2>&1", "artisan schedule:run", "11-30 12:01"),
    Row("0 2 * * *", "docker compose exec postgres pg_dump -U app_user app_db | gzip > /backups/db-$(date +%Y%m%d).sql.gz", "pg_dump", "12-01 02:00", line="0 2 * * * docker compose exec postgres pg_dump -U app_user app_db | gzip > /backups/db-$(date +\\%Y\\%m\\%d).sql.gz"),
    Row("0 16 * * *", "/bin/bash -l -c 'cd /home/deploy/production/releases/20200519122408 && RAILS_ENV=production bundle exec rake membership:expire --silent >> log/membership_expire.log 2>&1'", "rake membership:expire", "11-30 16:00"),
    Row("*/20 * * * *", "sleep $((RANDOM % 40 + 10)); crm114/learn_maildir", "learn_maildir", "11-30 12:20", line="*/20 * * * * sleep $((RANDOM \\% 40 + 10)); crm114/learn_maildir"),
    Row("0 10 * * 0", "[ $(date +%d) -le 07 ] && nodejs /trello/monthlyCards.js", "monthlyCards.js", "12-06 10:00", line="0 10 * * 0 [ $(date +\\%d) -le 07 ] && nodejs /trello/monthlyCards.js"),
    Row("*/15 * * * *", "chronic doccheckin", "doccheckin", "11-30 12:15"),
    Row("@hourly", "chronic nice ionice -c 3 notmuch new", "notmuch", "11-30 13:00"),
    Row("05 2,12,17,20,23 * * *", "chronic podrecast -a", "podrecast", "11-30 12:05"),
    Row("0 * * * *", ". $HOME/.profile; cd /path/to/program/directory && xvfb-run --auto-servernum path/to/python3 /path/to/main.py", "main.py", "11-30 13:00"),
    Row("44 8 * * 1-5", "timeout 40s /srv/bot/trading_bot.py --execute-trades --user-id 1234 --config sample_", "trading_bot.py", "12-01 08:44"),
    Row("5 14 * * 1-5", "timeout 900 /srv/app/bin/auto_confirm.py >> /srv/app/logs/auto_confirm.log 2>&1   # 21:05 second pass of the day", "auto_confirm.py", "11-30 14:05"),
]

OUR_OWN = [
    # the fields
    Row("* * * * *", "job", "job", "11-30 12:01"),
    Row("5 * * * *", "job  -v ", "job", "11-30 12:05", line="\t 5\t*  * *\t* \t job  -v "),
    Row("0~59 * * * *", "job", "job", "11-30 13:00"),
    Row("5~ 3 * * *", "job", "job", "12-01 03:05"),
    Row("~ 3 * * *", "job", "job", "12-01 03:00"),  # cronie's
    Row("-*/5 * * * *", "job", "job", "11-30 12:05"),  # cronie's: not logged
    Row("*/7,3 * * * *", "job", "job", "11-30 12:03"),
    Row("*/99 * * * *", "job", "job", "11-30 13:00"),
    Row("1-5,30-40/5 * * * *", "job", "job", "11-30 12:01"),
    Row("0 0 * * mon-fri", "job", "job", "12-01 00:00"),
    Row("0 0 * * Mon,WED", "job", "job", "12-02 00:00"),
    Row("0 0 * * 7", "job", "job", "12-06 00:00"),
    Row("0 0 * * 6-7", "job", "job", "12-05 00:00"),
    Row("0 0 1 Jan-MAR *", "job", "job", "01-01 00:00"),
    Row("007 04 * * *", "job", "job", "12-01 04:07"),
    Row("0 3 13 * 5", "job", "job", "12-04 03:00"),  # one of both days is enough
    Row("0 3 */2 * 2", "job", "job", "12-01 03:00"),  # both: a star is there
    Row("0 3 2-30/2 * 2", "job", "job", "12-01 03:00"),  # one of both
    Row("0 3 1 * */2", "job", "job", "12-01 03:00"),
    Row("0 3 29 2 *", "job", "job", "02-29 03:00"),
    Row("0 3 31 * *", "job", "job", "12-31 03:00"),
    Row("30 2 29 3 *", "job", "job", "03-29 02:30"),
    Row("0 12 * * *", "job", "job", "12-01 12:00"),  # not now: after it
    # names for times
    Row("@reboot", "job", "job", None),
    Row("@yearly", "job", "job", "01-01 00:00"),
    Row("@annually", "job", "job", "01-01 00:00"),
    Row("@monthly", "job", "job", "12-01 00:00"),
    Row("@weekly", "job", "job", "12-06 00:00"),
    Row("@daily", "job", "job", "12-01 00:00"),
    Row("@midnight", "job", "job", "12-01 00:00", line="@midnight\tjob"),
    Row("@hourly", "job", "job", "11-30 13:00", line="  @hourly  job"),
    # `%` and `\`
    Row("5 * * * *", "cat", "cat", "11-30 12:05", line="5 * * * * cat%a line%another"),
    Row("5 * * * *", "cat ", "cat", "11-30 12:05", line="5 * * * * cat %a line"),
    Row("5 * * * *", "job %s", "job", "11-30 12:05", line="5 * * * * job \\%s%in%put"),
    Row("5 * * * *", "job 'a\\b' \\n", "job", "11-30 12:05", line="5 * * * * job 'a\\\\b' \\n"),
    Row("5 * * * *", "job \\", "job", "11-30 12:05"),
    Row("5 * * * *", "", "sh", "11-30 12:05", line="5 * * * * %"),
    # what looks like something else
    Row("5 * * * *", "A=b job", "job", "11-30 12:05"),
    Row("5 * * * *", "job # a comment for the shell", "job", "11-30 12:05"),
    Row("5 * * * *", "job --with=SHELL=/bin/zsh", "job", "11-30 12:05"),
    Row("5 * * * *", "job\r", "sh", "11-30 12:05"),
    Row("5 * * * *", "jöb", "jöb", "11-30 12:05"),
    # names
    Row("5 * * * *", "AUTOTASK_NAME=nightly job --all", "nightly", "11-30 12:05"),
    Row("5 * * * *", "AUTOTASK_NAME='a b' A=1 job", "a b", "11-30 12:05"),
    Row("5 * * * *", "A=1 AUTOTASK_NAME=two job", "two", "11-30 12:05"),
    Row("5 * * * *", "cd /srv && AUTOTASK_NAME=deep ./job", "deep", "11-30 12:05"),
    Row("5 * * * *", "AUTOTASK_NAME=$X job", "job", "11-30 12:05"),
    Row("5 * * * *", "(cd /srv; ./job.sh) | tee log", "job.sh", "11-30 12:05"),
    Row("5 * * * *", "{ ./first; ./second; } >/dev/null 2>&1", "second", "11-30 12:05"),
    Row("5 * * * *", "./first; ./second", "second", "11-30 12:05"),
    Row("5 * * * *", "./first && ./second || echo broken", "second", "11-30 12:05"),
    Row("5 * * * *", "echo hello", "echo", "11-30 12:05"),
    Row("5 * * * *", "/usr/bin/env python3 -m pkg.jobs --all", "pkg.jobs", "11-30 12:05"),
    Row("5 * * * *", "cd /srv/app && .venv/bin/python manage.py clearsessions", "manage.py clearsessions", "11-30 12:05"),
    Row("5 * * * *", "cd /srv/app && /usr/local/bin/bundle exec rake db:clean RAILS_ENV=production", "rake db:clean", "11-30 12:05"),
    Row("5 * * * *", "sudo -u www-data php /var/www/cron.php", "cron.php", "11-30 12:05"),
    Row("5 * * * *", "nohup ./job.sh &", "job.sh", "11-30 12:05"),
    Row("5 * * * *", 'sh -c "exec ./job.sh"', "job.sh", "11-30 12:05"),
    Row("5 * * * *", "for f in *.csv; do ./load.py $f; done", "load.py", "11-30 12:05"),
    Row("5 * * * *", "if ./ready; then ./job; fi", "job", "11-30 12:05"),
    # with a user
    Row("@daily", "/srv/job.sh", "job.sh", "12-01 00:00", "www-data"),
    Row("0 3 * * *", "cd ~ && ./job", "job", "12-01 03:00", "ann", line="0 3 * * *\tann\tcd ~ && ./job"),
    Row("0 3 * * *", "job", "job", "12-01 03:00", "user:group/class"),
    Row("-0 3 * * *", "job", "job", "12-01 03:00", "ann"),
]
# fmt: on

# Lines that are no job: the variable and the value, None for a comment and the like.
OTHERS: dict[str, tuple[str, str] | None] = {
    "": None,
    " \t": None,
    "# a comment": None,
    "  \t# 5 * * * * job": None,
    "A=b": ("A", "b"),
    " A = b c \t": ("A", "b c"),
    'A=""': ("A", ""),
    'A=" b "': ("A", " b "),
    "'A B'='c d'": ("A B", "c d"),
    'A=it\'s "so"': ("A", 'it\'s "so"'),
    "SHELL=/bin/bash": ("SHELL", "/bin/bash"),
    "SHELL = '/bin/bash'": ("SHELL", "/bin/bash"),
    'MAILTO=""': ("MAILTO", ""),
    "A=b # no comment": ("A", "b # no comment"),
    "A=b=c": ("A", "b=c"),
    "A=b\r": ("A", "b"),
}

# Lines that cron refuses, or never runs, and why.
BAD = {
    "A=": "fewer than five fields",
    "*": "fewer than five fields",
    "* * * *": "fewer than five fields",
    "hello": "fewer than five fields",
    "60 * * * * job": "minute '60' is not between 0 and 59",
    "* 24 * * * job": "hour '24'",
    "* * 0 * * job": "day of month '0'",
    "* * * 13 * job": "month '13'",
    "* * * * 8 job": "day of week '8'",
    "*/0 * * * * job": "a step of at least 1",
    "5/15 * * * * job": "'5/15' is not what cron reads",
    "* * ? * * job": "'?' is not what cron reads",
    "* * L * * job": "'l' is not between",
    "H * * * * job": "'h' is not between",
    "0,,5 * * * * job": "'' is not between",
    "* * * january * job": "'january'",
    "@every 5m job": "five fields",
    "@Daily job": "five fields",
    "@ job": "five fields",
    "20-5 * * * * job": "ends before it starts",
    "10~5 * * * * job": "ends before it starts",
    "0 0 31 2 * job": "none of its months has such a day",
}
