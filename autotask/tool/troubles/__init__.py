"""What went wrong: for `autotask check`, the summary of a day, the report and `autotask top`."""
