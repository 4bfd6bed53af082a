/* Plots are drawn when they come into sight, and again when the theme changes. */
const templates = read(document.getElementById("templates"));
const drawn = new Map();

/* Plotly takes longer to start than the rest of the page, so it starts with the first plot. */
function plotly() {
  if (!window.Plotly) {
    const script = document.createElement("script");
    script.textContent = document.getElementById("plotly").textContent;
    document.head.append(script);
  }
  return window.Plotly;
}

function draw(canvas, figure) {
  drawn.set(canvas, figure);
  const layout = { ...structuredClone(figure.layout), template: templates[theme()], autosize: true };
  const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
  return plotly().react(canvas, structuredClone(figure.data), layout, config);
}

function erase(canvas) {
  drawn.delete(canvas);
  window.Plotly?.purge(canvas);
}

function drawChosen(box) {
  const scripts = all("script", box);
  const script = scripts[box.querySelector("select")?.value ?? 0];
  box.querySelector(".note").textContent = script.dataset.caption;
  return draw(box.querySelector(".canvas"), read(script));
}

const sight = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting) {
        sight.unobserve(target);
        drawChosen(target);
      }
    }
  },
  { rootMargin: "400px" },
);

for (const box of all("figure.plot")) {
  sight.observe(box);
  box.querySelector("select")?.addEventListener("change", () => drawChosen(box));
}

function redraw() {
  for (const [canvas, figure] of drawn) draw(canvas, figure);
}

document.addEventListener("theme", redraw);
addEventListener("beforeprint", () => {
  printing = true;
  for (const box of all("figure.plot")) drawChosen(box);
});
addEventListener("afterprint", () => {
  printing = false;
  redraw();
});
