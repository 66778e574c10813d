"""Schedules in words: short and true, or as they are written."""

from __future__ import annotations

import random

import pytest

from autotask.tool.errors import ToolError
from autotask.tool.schedule import words
from autotask.tool.schedule.cron_line import Schedule

LINES = [
    ("* * * * *", "every minute"),
    ("*/1 * * * *", "every minute"),
    ("*/5 * * * *", "every 5 minutes"),
    ("-*/5 * * * *", "every 5 minutes"),
    ("0-59/15 * * * *", "every 15 minutes"),
    ("0,30 * * * *", "every 30 minutes"),
    ("2-59/5 * * * *", "every 5 minutes from :02"),
    ("0 * * * *", "every hour"),
    ("@hourly", "every hour"),
    ("17 * * * *", "every hour at :17"),
    ("09,39 * * * *", "every hour at :09, :39"),
    ("9,29,49 * * * *", "every hour at :09, :29, :49"),
    ("0 */2 * * *", "every 2 hours"),
    ("17 */2 * * *", "every 2 hours at :17"),
    ("0 2-23/6 * * *", "every 6 hours from 02:00"),
    ("0 */12 * * *", "at 00:00, 12:00"),
    ("15 3 * * *", "at 03:15"),
    ("  15   3 * * * ", "at 03:15"),
    ("@daily", "at 00:00"),
    ("@midnight", "at 00:00"),
    ("0,30 3 * * *", "at 03:00, 03:30"),
    ("05 2,12,17,20 * * *", "at 02:05, 12:05, 17:05, 20:05"),
    ("0 9-17 * * *", "every hour from 09:00 to 17:00"),
    ("*/15 9-17 * * *", "every 15 minutes from 09:00 to 17:45"),
    ("*/10 3 * * *", "every 10 minutes from 03:00 to 03:50"),
    ("* 9-17 * * *", "every minute from 09:00 to 17:59"),
    ("15 3 * * 1-5", "at 03:15 on Mon-Fri"),
    ("15 3 * * MON-fri", "at 03:15 on Mon-Fri"),
    ("0 10 * * 0", "at 10:00 on Sun"),
    ("0 10 * * 7", "at 10:00 on Sun"),
    ("0 10 * * 0-4", "at 10:00 on Sun-Thu"),
    ("0 10 * * 6,7", "at 10:00 on Sat, Sun"),
    ("0 10 * * 0,1", "at 10:00 on Mon, Sun"),
    ("0 10 * * 1,3,5", "at 10:00 on Mon, Wed, Fri"),
    ("0 10 * * 2-7", "at 10:00 on Tue-Sun"),
    ("@weekly", "at 00:00 on Sun"),
    ("0 2 1 * *", "at 02:00 on day 1 of the month"),
    ("@monthly", "at 00:00 on day 1 of the month"),
    ("0 2 1,15 * *", "at 02:00 on days 1, 15 of the month"),
    ("0 2 1-7 * *", "at 02:00 on days 1-7 of the month"),
    ("0 2 1 1 *", "at 02:00 on 1 Jan"),
    ("@yearly", "at 00:00 on 1 Jan"),
    ("@annually", "at 00:00 on 1 Jan"),
    ("0 2 1,15 3 *", "at 02:00 on days 1, 15 of the month in Mar"),
    ("0 2 * 6-8 *", "at 02:00 in Jun-Aug"),
    ("0 2 * jan,jul 1", "at 02:00 on Mon in Jan, Jul"),
    ("0 2 13 * 5", "at 02:00 on day 13 of the month or on Fri"),
    ("*/5 * * * 6", "every 5 minutes on Sat"),
    ("*/15 9-17 * * 1-5", "every 15 minutes from 09:00 to 17:45 on Mon-Fri"),
    ("@reboot", "at reboot"),
    # what cannot be said shortly, or is not valid
    ("*/7 * * * *", "*/7 * * * *"),
    ("5-59/5 * * * *", "5-59/5 * * * *"),
    ("1,2,3,5,8 * * * *", "1,2,3,5,8 * * * *"),
    ("0 1,2,4,8,16 * * *", "0 1,2,4,8,16 * * *"),
    ("0 */5 * * *", "0 */5 * * *"),
    ("0-10 3 * * *", "0-10 3 * * *"),
    ("0 2 1,5,9,13,17 * *", "0 2 1,5,9,13,17 * *"),
    ("0 2 * 1,3,5,7,9 *", "0 2 * 1,3,5,7,9 *"),
    ("0 2 */2 * 1", "0 2 */2 * 1"),
    ("*/12 13 18-23 * 1", "*/12 13 18-23 * 1"),
    ("0 2 1-7 * */2", "0 2 1-7 * */2"),
    ("0~59 3 * * *", "0~59 3 * * *"),
    ("61 * * * *", "61 * * * *"),
    ("* * *", "* * *"),
    ("@every 5m", "@every 5m"),
    ("@Daily", "@Daily"),
    ("@Reboot", "@Reboot"),
    ("", ""),
]


@pytest.mark.parametrize(("when", "said"), LINES)
def test_a_line_is_said_in_words_if_that_is_short(when: str, said: str) -> None:
    assert words.of_cron(when) == said


CALENDARS = [
    ("*-*-* 06:00:00", "at 06:00"),
    ("*-*-* 6,18:00:00", "at 06:00, 18:00"),
    ("*-*-* *:00:00", "every hour"),
    ("*-*-* *:00/15:00", "every 15 minutes"),
    ("*-*-* *:05/15:00", "every 15 minutes from :05"),
    ("*-*-* 00/2:00:00", "every 2 hours"),
    ("*-*-* 09..17:30:00", "every hour from 09:30 to 17:30"),
    ("Mon *-*-* 00:00:00", "at 00:00 on Mon"),
    ("Mon..Fri *-*-* 03:15:00", "at 03:15 on Mon-Fri"),
    ("Sun,Wed *-*-* 03:15:00", "at 03:15 on Wed, Sun"),
    ("*-*-01 00:00:00", "at 00:00 on day 1 of the month"),
    ("*-01-01 00:00:00", "at 00:00 on 1 Jan"),
    ("*-01,04,07,10-01 00:00:00", "at 00:00 on day 1 of the month in Jan, Apr, Jul, Oct"),
    ("*-*-* 06:00:00 UTC", "at 06:00 (UTC)"),
    ("Mon *-*-* 06:00:00 Europe/Berlin", "at 06:00 on Mon (Europe/Berlin)"),
    # as they are written
    ("Sun *-*-1..7 03:10:00", "Sun *-*-1..7 03:10:00"),
    ("2027-*-* 06:00:00", "2027-*-* 06:00:00"),
    ("*-*-* 06:00:30", "*-*-* 06:00:30"),
    ("*-*~1 06:00:00", "*-*~1 06:00:00"),
    ("*-*-* *:*:00/10", "*-*-* *:*:00/10"),
    ("Fri *-02/0-13 06:00:00", "Fri *-02/0-13 06:00:00"),
    ("weekly", "weekly"),
    ("", ""),
]


@pytest.mark.parametrize(("calendar", "said"), CALENDARS)
def test_an_oncalendar_in_its_normal_form_is_said_as_a_line_of_cron_is(
    calendar: str, said: str
) -> None:
    assert words.of_calendar(calendar) == said


def field(chance: random.Random, low: int, high: int) -> str:
    first, second = sorted(chance.choices(range(low, high + 1), k=2))
    step = chance.choice([1, 2, 5, 6, 7, 12, 15, 30])
    span = f"{first}-{second}"
    forms = ["*", "*", f"*/{step}", str(first), f"{first},{second}", span, f"{span}/{step}"]
    return chance.choice(forms)


def test_the_same_words_never_mean_two_schedules() -> None:
    chance = random.Random(18)
    meanings: dict[str, object] = {}
    for _ in range(1500):
        parts = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]
        line = " ".join(field(chance, low, high) for low, high in parts)
        try:
            schedule = Schedule(line, in_crontab=True)
        except ToolError:  # 31 February
            continue
        meant = (schedule.times, schedule.days, schedule.months, schedule.weekdays)
        said = words.of_cron(line)
        assert meanings.setdefault(said, meant) == meant, line
        assert len(said) <= max(words.LONGEST, len(line))
    assert len(meanings) > 600
