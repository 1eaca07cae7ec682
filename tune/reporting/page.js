// Draws the charts one after another once the page has been painted, and recolours them when the theme changes.
"use strict";
(() => {
  const embedded = (id) => JSON.parse(document.getElementById(id).textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const themes = embedded("themes");
  const theme = () => (dark.matches ? themes.dark : themes.light);
  const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
  // A finger on a chart scrolls the page; a mouse selects a range to zoom into.
  const dragmode = matchMedia("(pointer: coarse)").matches ? false : "zoom";
  let drawn = [];

  const start = () => {
    performance.mark("charts");
    const library = document.createElement("script");
    library.textContent = document.getElementById("plotly").textContent;
    document.head.append(library);
    drawNext(Object.entries(embedded("figures")));
  };

  const drawNext = (left) => {
    if (!left.length) {
      document.documentElement.dataset.charts = "drawn";
      return;
    }
    const [[id, figure], ...rest] = left;
    const place = document.getElementById(id);
    Plotly.newPlot(place, figure.data, { ...figure.layout, template: theme(), dragmode }, config).then(() => {
      drawn.push(place);
      setTimeout(drawNext, 0, rest); // lets the page scroll in between
    });
  };

  dark.addEventListener("change", () => drawn.forEach((place) => Plotly.relayout(place, { template: theme() })));
  addEventListener("load", () => requestAnimationFrame(() => setTimeout(start, 0)));
})();
