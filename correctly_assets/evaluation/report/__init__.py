"""Reports as people read them: pages, tables and every plot of the project.

Belongs here: HTML, matplotlib, wording of figures. Does not belong here: measuring (metrics/, systems.py).
"""
