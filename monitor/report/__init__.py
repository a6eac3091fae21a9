"""What people look at: evaluations and stored rows as view models, figures and HTML, for the pages and for the report.

overview, column, alerts, health   what a view shows, as plain data: pure functions
history                            what a view reads from the store
bars, figure                       counts as shapes, shapes as SVG
words                              numbers, times and verdicts for people
render                             templates and their environment, without Flask
"""
