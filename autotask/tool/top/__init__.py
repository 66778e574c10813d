"""What `autotask top` knows, how it draws that, and the terminal it draws on."""
