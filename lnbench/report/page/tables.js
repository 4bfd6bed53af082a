/* Sorting by any column, and filtering by words. */
const collator = new Intl.Collator(undefined, { numeric: true });
const NUMBER = /^[-+]?[\d,]*\.?\d+(e[-+]?\d+)?(?=$|[\s%])/i;

function valueOf(text) {
  if (text === "-" || text === "nan") return null;
  return NUMBER.test(text) ? parseFloat(text.replaceAll(",", "")) : text;
}

const cellValue = ({ dataset, textContent }) => valueOf(dataset.value ?? textContent.trim());

function compareValues(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return collator.compare(a, b);
}

/* What is missing stays at the end, whichever the direction. */
function sorted(rows, valueIn, descending) {
  const keyed = rows.map((row) => [valueIn(row), row]);
  keyed.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return descending ? compareValues(b, a) : compareValues(a, b);
  });
  return keyed.map(([, row]) => row);
}

function markSorted(table, column, descending) {
  for (const [place, head] of [...table.tHead.rows[0].cells].entries()) {
    if (place === column) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
}

function sortBy(table, column, descending) {
  table.tBodies[0].append(...sorted([...table.tBodies[0].rows], (row) => cellValue(row.cells[column]), descending));
  markSorted(table, column, descending);
}

const wordsIn = (input) => input.value.toLowerCase().split(/\s+/).filter(Boolean);
const told = (shown, all) => `${shown.toLocaleString("en")} of ${all.toLocaleString("en")} rows`;

function filterRows(table, words, count) {
  const rows = [...table.tBodies[0].rows];
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
  }
  const shown = rows.filter((row) => !row.hidden).length;
  count.value = words.length ? told(shown, rows.length) : "";
}

function alignColumns(table) {
  const rows = [...table.tBodies[0].rows];
  for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
    const texts = rows.slice(0, 50).map((row) => row.cells[column].textContent.trim());
    const numeric = column > 0 && texts.every((text) => text === "-" || NUMBER.test(text));
    const long = texts.some((text) => text.length > 60);
    for (const row of rows) {
      row.cells[column].classList.toggle("number", numeric);
      row.cells[column].classList.toggle("long", long);
    }
    head.classList.toggle("number", numeric);
  }
}

/* Calls `sort` with a column and a direction, and `filter` with words, when the reader asks for it. */
function listen(table, sort, filter) {
  for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
    head.querySelector("button").addEventListener("click", () => sort(column, head.getAttribute("aria-sort") === "ascending"));
  }
  const input = table.closest(".table").querySelector("input[type=search]");
  input.addEventListener("input", () => filter(wordsIn(input)));
}

for (const table of all("table.sortable:not([data-many])")) {
  alignColumns(table);
  const count = table.closest(".table").querySelector(".count");
  listen(
    table,
    (column, descending) => sortBy(table, column, descending),
    (words) => filterRows(table, words, count),
  );
}
