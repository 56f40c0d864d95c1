"""Studies, each a script that remakes the tables of one page: ``python -m ... DATA -o OUT``."""
