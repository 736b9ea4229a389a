"""The personality gate: does a new version still sound like her?

Read in this order: `battery` (the probes, as data), `subjects`, `joins`, `pins` and `cast` with its two makers (who is heard),
`replies` and `losses` (what each model said), `hearing` (in rounds, with `kept_replies`), one file per family of measures
(`markers facts language dialect shape diversity memorisation style similarity drift perplexity`), `metrics` (all of them in
tables, with their margins), `measuring` (every metric of every voice), `bootstrap`, `comparison` and `multiplicity` (how sure
we are), `hard_rules` (what no statistics excuse), `judgement` (the verdict), `report` and `results` (what is written), `gate`
(all of it), `rescoring` (old results, newer battery).

The measuring part is pure: it imports no torch, no web framework and no database. Only `embedding`, which it is handed, does.
"""
