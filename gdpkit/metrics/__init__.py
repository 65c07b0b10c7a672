"""Metrics: what a picture is measured by. One component a file, each naming its definition."""
