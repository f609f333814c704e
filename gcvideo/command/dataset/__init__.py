"""The commands on data sets: ``check``, ``index``, ``reencode`` and ``kinetics``."""
