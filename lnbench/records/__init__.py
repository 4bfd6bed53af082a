"""What a run leaves behind.

The package can be called: `lnbench.records("runs")` is `lnbench.report.records.records`.
"""
