/* Sorting by any column, and filtering by words. */
const collator = new Intl.Collator(undefined, { numeric: true });
const NUMBER = /^[-+]?[\d,]*\.?\d+(e[-+]?\d+)?(?=$|[\s%])/i;

function cellValue(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.value ?? cell.textContent.trim();
  if (text === "-" || text === "nan") return null;
  return NUMBER.test(text) ? parseFloat(text.replaceAll(",", "")) : text;
}

function compareValues(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return collator.compare(a, b);
}

/* What is missing stays at the end, whichever the direction. */
function sortBy(table, column, descending) {
  const keyed = [...table.tBodies[0].rows].map((row) => [cellValue(row, column), row]);
  keyed.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return descending ? compareValues(b, a) : compareValues(a, b);
  });
  table.tBodies[0].append(...keyed.map(([, row]) => row));
  for (const [place, head] of [...table.tHead.rows[0].cells].entries()) {
    if (place === column) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
}

function filterRows(table, words, count) {
  const rows = [...table.tBodies[0].rows];
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
  }
  const shown = rows.filter((row) => !row.hidden).length;
  count.value = words.length ? `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows` : "";
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

for (const table of all("table.sortable")) {
  alignColumns(table);
  for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
    head.querySelector("button").addEventListener("click", () => {
      sortBy(table, column, head.getAttribute("aria-sort") === "ascending");
    });
  }
  const box = table.closest(".table");
  const input = box.querySelector("input[type=search]");
  input.addEventListener("input", () => {
    filterRows(table, input.value.toLowerCase().split(/\s+/).filter(Boolean), box.querySelector(".count"));
  });
}
