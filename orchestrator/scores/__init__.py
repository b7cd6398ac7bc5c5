"""From score files to tables: which ROIs make a row, how sure its numbers are, how it is shown."""
