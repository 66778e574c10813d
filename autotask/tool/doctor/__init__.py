"""What `autotask doctor` looks at."""
