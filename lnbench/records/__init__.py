"""Files that a run leaves.

The package can be called: `lnbench.records("runs")` is `lnbench.report.records.records`.
"""
