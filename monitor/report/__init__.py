"""What people look at: evaluations and stored rows as figures and HTML, for the pages and for the report.

overview, column   what a view shows, as plain data and figures
bars, figure, svg  counts as bars, bars and lines as SVG
file               the report
render             templates and their environment, without Flask
"""
