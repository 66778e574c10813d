"""Record the runs of cron's jobs without touching a job's line: what changes a crontab."""
