"use strict";
(() => {
  const root = document.documentElement;
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const button = document.getElementById("theme");
  const system = window.matchMedia("(prefers-color-scheme: dark)");

  // Colours in the figures are names of CSS properties, so that one set of figures serves both themes.
  const resolved = (item, style) => {
    if (typeof item === "string") return /^--[a-z]+$/.test(item) ? style.getPropertyValue(item).trim() : item;
    if (Array.isArray(item)) return item.map((each) => resolved(each, style));
    if (item !== null && typeof item === "object") {
      return Object.fromEntries(Object.entries(item).map(([key, value]) => [key, resolved(value, style)]));
    }
    return item;
  };

  const draw = () => {
    const style = getComputedStyle(root);
    for (const [name, chart] of Object.entries(charts)) {
      const { data, layout } = resolved(chart, style);
      Plotly.react(name, data, layout, { responsive: true, displayModeBar: false });
    }
  };

  const show = (theme) => {
    root.dataset.theme = theme;
    button.textContent = theme === "dark" ? "Light" : "Dark";
    draw();
  };

  button.addEventListener("click", () => show(root.dataset.theme === "dark" ? "light" : "dark"));
  system.addEventListener("change", () => show(system.matches ? "dark" : "light"));
  show(system.matches ? "dark" : "light");
})();
