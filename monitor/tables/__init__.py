"""Rows and tables as people hold them, read and put into the order of the reference's columns."""
