"use strict";

const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const read = (element) => JSON.parse(element.textContent);

/* Light or dark: as the system is, until the reader chooses; on paper always light. */
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
let printing = false;
const chosenTheme = () => document.documentElement.dataset.theme || (prefersDark.matches ? "dark" : "light");
const theme = () => (printing ? "light" : chosenTheme());

function remembered(value) {
  try {
    if (value) localStorage.setItem("lnbench-theme", value);
    return localStorage.getItem("lnbench-theme");
  } catch {
    return null; // some browsers give a file no storage
  }
}

function applyTheme(chosen) {
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  const other = theme() === "dark" ? "light" : "dark";
  const button = document.getElementById("theme");
  button.textContent = other === "dark" ? "Dark" : "Light";
  button.setAttribute("aria-label", `Switch to the ${other} theme`);
  document.dispatchEvent(new Event("theme"));
}

document.getElementById("theme").addEventListener("click", () => {
  const chosen = theme() === "dark" ? "light" : "dark";
  remembered(chosen);
  applyTheme(chosen);
});
prefersDark.addEventListener("change", () => applyTheme());
applyTheme(remembered());
