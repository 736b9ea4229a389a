"""The personality gate: does a new version still sound like her?

Read in this order: `battery` (the probes, as data), `replies` (what each model said), one file per family of measures
(`markers language shape diversity memorisation style facts`), `metrics` (all of them in one table, with their margins),
`bootstrap` (how sure we are), `hard_rules` (what no statistics excuse), `judgement` (the verdict), `report`.

The measuring part is pure: it imports no torch, no web framework and no database.
"""
