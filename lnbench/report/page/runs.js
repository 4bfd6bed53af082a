/* A run is opened by its address, #run-ID, so that it can be linked to and the browser's back button closes it. */
const dialog = document.getElementById("run");
const PREFIX = "#run-";

function newCell(tag, value) {
  const cell = document.createElement(tag);
  const text = typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(6))) : value;
  cell.textContent = value === null || value === undefined ? "-" : typeof value === "object" ? JSON.stringify(value) : text;
  if (tag === "th") cell.scope = "row";
  return cell;
}

function newRow(cells) {
  const row = document.createElement("tr");
  row.append(...cells);
  return row;
}

function fillPairs(name, values) {
  const rows = Object.entries(values).map(([key, value]) => newRow([newCell("th", key), newCell("td", value)]));
  dialog.querySelector(`[data-part=${name}] tbody`).replaceChildren(...rows);
}

function fillScores({ scores, baseline, baseline_name }) {
  const table = dialog.querySelector("[data-part=scores]");
  const splits = Object.keys(scores);
  const metrics = [...new Set(splits.flatMap((split) => Object.keys(scores[split])))];
  const heads = splits.flatMap((split) => [split, `${split}, ${baseline_name}`]);
  table.tHead.replaceChildren(newRow(["metric", ...heads].map((text) => newCell("th", text))));
  for (const cell of table.tHead.rows[0].cells) cell.scope = "col";
  const values = (metric) => splits.flatMap((split) => [scores[split][metric], baseline[split]?.[metric]]);
  table.tBodies[0].replaceChildren(
    ...metrics.map((metric) => newRow([newCell("th", metric), ...values(metric).map((value) => newCell("td", value))])),
  );
}

/* Validation scores above, losses below; all metrics but the one that selects are one click away in the legend. */
function curvesOf(run) {
  const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const data = Object.entries(run.curves).map(([name, { x, y }]) => {
    const loss = name.endsWith("loss");
    const hidden = !loss && name !== `validation/${run.metric}`;
    const mode = x.length < 30 ? "lines+markers" : "lines";
    return { x, y, name: escaped(name), mode, yaxis: loss ? "y2" : "y", visible: hidden ? "legendonly" : true };
  });
  const axis = { automargin: true };
  const layout = {
    height: 420,
    margin: { l: 56, r: 12, t: 12, b: 48 },
    legend: { orientation: "h", yref: "container", yanchor: "bottom", y: 0, x: 0 },
    xaxis: { ...axis, title: { text: "training step" }, anchor: "y2", rangemode: "tozero" },
    yaxis: { ...axis, title: { text: `validation ${escaped(run.axis)}` }, domain: [0.55, 1] },
    yaxis2: { ...axis, title: { text: "loss" }, domain: [0, 0.45] },
  };
  return { data, layout };
}

function show(run, id) {
  const { about } = run;
  document.getElementById("run-title").textContent = `${about.method} on ${about.task} with ${about.model}, seed ${about.seed}`;
  dialog.querySelector("[data-folder]").textContent = run.folder;
  const note = dialog.querySelector("[data-note]");
  note.textContent = run.note;
  note.hidden = !run.note;
  fillScores(run);
  fillPairs("config", run.config);
  fillPairs("about", { id, ...about });
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  const canvas = dialog.querySelector(".canvas");
  const known = Object.keys(run.curves).length > 0;
  canvas.hidden = !known;
  if (known) draw(canvas, curvesOf(run));
}

function follow() {
  const id = location.hash.startsWith(PREFIX) ? decodeURIComponent(location.hash.slice(PREFIX.length)) : "";
  const script = id && all("script[data-run]").find((one) => one.dataset.run === id);
  if (script) show(read(script), id);
  else if (dialog.open) dialog.close();
}

dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
});
dialog.addEventListener("close", () => {
  erase(dialog.querySelector(".canvas"));
  if (location.hash.startsWith(PREFIX)) history.replaceState(null, "", location.pathname + location.search);
});
addEventListener("hashchange", follow);
follow();
