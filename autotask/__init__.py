"""autotask: did it succeed or fail, which one, how long did it take. For every task."""
