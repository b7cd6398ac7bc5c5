"""From score files to tables: rows, summaries, intervals, tests, display and export."""
