"""From score files to tables: which cells make a row, how sure its numbers are, how it is shown."""
