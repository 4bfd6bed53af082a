from scripts.simulate_rows import coverage, table


def test_the_interval_holds_for_new_rows_and_new_seeds_and_that_of_the_seeds_alone_does_not() -> None:
    """Of 400 comparisons, 95% should have the true difference in their interval; twice the error of a share is 2%."""
    found = coverage(seeds=6, tasks=2, rows=150, worlds=400)
    assert 0.93 <= found.with_rows <= 0.985
    assert found.seeds_alone <= 0.75
    assert 0.7 <= found.share <= 0.9


def test_the_table_has_a_line_for_each_case() -> None:
    head, rule, *lines = table(worlds=2)
    assert {line.count("|") for line in (head, rule, *lines)} == {7}
    assert lines[-1].startswith("| 12 | 3 | 500 | ")
