"""When the jobs of this machine are due: what crontabs and timers say, and what came of it."""
