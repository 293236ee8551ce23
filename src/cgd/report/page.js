"use strict";

// A click on a column's head sorts by it: up, down, as it was. Numbers by value, absent values ("–") always last.
const collator = new Intl.Collator(undefined, { numeric: true });

function keyOf(cell, isNumber) {
  const text = cell.textContent.trim();
  if (text === "–" || text === "") return null;
  if (!isNumber) return text;
  const number = text.replaceAll("−", "-").replaceAll(",", "").match(/[-+]?\d+(\.\d+)?(e[-+]?\d+)?/i);
  return number && Number(number[0]) - (text.startsWith("<") ? 1e-9 : 0);
}

function sortRows(table, rows, column, order, isNumber) {
  const sign = { ascending: 1, descending: -1 }[order];
  const keyed = rows.map((row) => [keyOf(row.cells[column], isNumber), row]);
  if (sign) {
    keyed.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * (isNumber ? a - b : collator.compare(a, b));
    });
  }
  table.tBodies[0].append(...keyed.map(([, row]) => row));
}

for (const table of document.querySelectorAll("table")) {
  const rows = [...table.tBodies[0].rows];
  const heads = [...table.tHead.rows[0].cells];
  if (rows.length < 2) continue;
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { ascending: "descending", descending: "none" }[head.ariaSort] ?? "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      if (next !== "none") head.setAttribute("aria-sort", next);
      sortRows(table, rows, column, next, head.classList.contains("r"));
    });
  });
}

// Figures take the page's ink, follow its width, and are drawn anew for the paper: a flow would glide to its new place.
const PAPER = { width: 660, ink: "#1c2330" };
const ink = () => getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
const plots = [...document.querySelectorAll(".plot")];

function draw(plot, { width, ink }) {
  const { data, layout } = JSON.parse(plot.dataset.figure);
  layout.font.color = ink;
  if (width) layout.width = width;
  Plotly.purge(plot);
  Plotly.newPlot(plot, data, layout, { responsive: !width, displaylogo: false, displayModeBar: false });
}

for (const plot of plots) draw(plot, { ink: ink() });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const plot of plots) Plotly.relayout(plot, { "font.color": ink() });
});

let unfolded = [];
addEventListener("beforeprint", () => {
  unfolded = [...document.querySelectorAll("details:not([open])")];
  for (const details of unfolded) details.open = true;
  for (const plot of plots) draw(plot, PAPER);
});
addEventListener("afterprint", () => {
  for (const details of unfolded) details.open = false;
  for (const plot of plots) draw(plot, { ink: ink() });
});
