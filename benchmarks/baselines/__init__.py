"""What ``benchmarks.ablations`` compares: models of others in our own words, and the figures that all are measured by.

``causal`` (the transformer decoder that both models share), ``faceformer``, ``published`` (PTalker as its code has it)
and ``task`` (how they are trained); ``figures`` and ``probes`` (what is measured), ``heads`` (on whom), ``table``.
"""
