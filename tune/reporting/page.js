// Draws the charts, one after the other, when the page has been painted; redraws their colours when the theme changes.
"use strict";
(() => {
  const held = (id) => JSON.parse(document.getElementById(id).textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const themes = held("themes");
  const theme = () => (dark.matches ? themes.dark : themes.light);
  const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
  let drawn = [];

  const start = () => {
    performance.mark("charts");
    const library = document.createElement("script");
    library.textContent = document.getElementById("plotly").textContent;
    document.head.append(library);
    drawNext(Object.entries(held("figures")));
  };

  const drawNext = (left) => {
    if (!left.length) {
      document.documentElement.dataset.charts = "drawn";
      return;
    }
    const [[id, figure], ...rest] = left;
    const place = document.getElementById(id);
    Plotly.newPlot(place, figure.data, { ...figure.layout, template: theme() }, config).then(() => {
      drawn.push(place);
      setTimeout(drawNext, 0, rest); // the page can be scrolled meanwhile
    });
  };

  dark.addEventListener("change", () => drawn.forEach((place) => Plotly.relayout(place, { template: theme() })));
  addEventListener("load", () => requestAnimationFrame(() => setTimeout(start, 0)));
})();
