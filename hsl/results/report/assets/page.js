"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);

  // Figures. Expressions are interpreted, never compiled, so the page needs no eval.
  const rowsOf = (columns) => {
    const names = Object.keys(columns);
    const length = names.length ? columns[names[0]].length : 0;
    return Array.from({ length }, (_, i) => Object.fromEntries(names.map((name) => [name, columns[name][i]])));
  };
  const drawAll = async () => {
    for (const chart of document.querySelectorAll(".chart")) {
      const figure = figures[chart.dataset.figure];
      const panel = figure.panels[Number(chart.dataset.panel)];
      const values = rowsOf(panel.columns);
      const spec = { ...figure.specs[panel.variant], data: { values }, width: "container" };
      await vegaEmbed(chart, spec, {
        mode: "vega-lite", renderer: "svg", actions: false, ast: true, defaultStyle: false,
        logLevel: 1,  // errors only: a layer without rows is no surprise here
        tooltip: { theme: "custom", disableDefaultStyle: true, styleId: "hsl-tip-style", id: "vg-tooltip-element" },
      });
      chart.style.minHeight = "";
    }
    document.documentElement.dataset.drawn = "yes";
  };

  // Theme: that of the system until the button is pressed.
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const label = () => { button.textContent = isDark() ? "Light theme" : "Dark theme"; };
  button.hidden = false;
  button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; label(); });
  dark.addEventListener("change", label);
  label();

  // Tables: sorted by their heads, filtered by what their rows contain.
  const keyOf = (row, column) => {
    const cell = row.cells[column];
    return "key" in cell.dataset ? Number(cell.dataset.key) : cell.textContent.trim();
  };
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return a.localeCompare(b, undefined, { numeric: true });
  };
  const sortBy = (table, column, head) => {
    const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => direction * compare(keyOf(a, column), keyOf(b, column)));
    table.tBodies[0].append(...rows);
  };
  const addFilter = (table) => {
    const box = document.createElement("label");
    const input = document.createElement("input");
    const shown = document.createElement("span");
    box.className = "filter";
    input.type = "search";
    shown.setAttribute("role", "status");
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let count = 0;
      for (const row of table.tBodies[0].rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        count += row.hidden ? 0 : 1;
      }
      shown.textContent = words.length ? `${count} of ${table.tBodies[0].rows.length} rows` : "";
    });
    box.append("Filter rows", input, shown);
    table.parentElement.before(box);
  };
  for (const table of document.querySelectorAll("table")) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const sort = document.createElement("button");
      sort.type = "button";
      sort.append(...head.childNodes);
      sort.addEventListener("click", () => sortBy(table, column, head));
      head.append(sort);
    });
    if (table.tBodies[0].rows.length > 5) addFilter(table);
  }

  drawAll();
})();
