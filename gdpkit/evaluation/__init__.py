"""Measuring many pictures: which belongs to which, what each scores, and the protocol of the paper's tables.

pairing.py    outputs and what they are compared with, by name
measuring.py  the metrics of one picture, and of all
tables.py     the results as rows, CSV and JSON
protocol.py   degrade, restore and measure a folder of photographs, in a folder that a killed run goes on from
published.py  the tables of the GDP paper
"""
