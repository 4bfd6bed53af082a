"""Does one run, from the lock to the record.

The package can be called: `lnbench.run("method=ln")` is `lnbench.run.from_overrides.run`.
"""
