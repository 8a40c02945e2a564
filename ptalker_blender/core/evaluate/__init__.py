"""Evaluation: ``python -m ptalker_blender.core evaluate DATA --report OUT``.

``sets`` says what is evaluated and how another data set joins in, ``corpus`` reads our own corpus, ``metrics`` are the
formulae, ``lips`` measures mouths, ``measure`` applies both to one clip and sums up groups, ``style``, ``still`` and
``speed`` have figures of their own, ``report`` writes the page, ``run`` puts all of it together.
"""
