"""The `autotask` command: reads the journal afterwards; nothing in here runs inside a task."""
