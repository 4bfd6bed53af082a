/* A list of very many runs: all rows are kept as texts, and only the first ones that fit are in the document. */
const MOST_ROWS = 200;
const list = document.getElementById("run-list");
let many = read(document.getElementById("run-rows")).map((texts) => ({ texts, all: texts.join(" ").toLowerCase() }));
let wanted = [];

function fill() {
  const fitting = many.filter(({ all }) => wanted.every((word) => all.includes(word)));
  const rows = fitting.slice(0, MOST_ROWS).map(({ texts }) => {
    const row = document.createElement("tr");
    for (const text of texts) row.insertCell().textContent = text;
    return row;
  });
  list.tBodies[0].replaceChildren(...rows);
  const hidden = fitting.length > rows.length ? `; the first ${MOST_ROWS} are shown` : "";
  list.closest(".table").querySelector(".count").value = `${told(fitting.length, many.length)}${hidden}`;
  alignColumns(list);
}

listen(
  list,
  (column, descending) => {
    many = sorted(many, ({ texts }) => valueOf(texts[column]), descending);
    markSorted(list, column, descending);
    fill();
  },
  (words) => {
    wanted = words;
    fill();
  },
);
fill();
