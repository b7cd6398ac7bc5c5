"""What every command line shares: arguments, errors, the process's exit."""
