"""The subcommands of `autotask`, one file each."""
