// A click on a heading sorts its table by that column; another click reverses the order.
// Without this script the page shows everything, in the table's own order.
"use strict";

const numberIn = (text) => {
  const found = text.replace(/−/g, "-").replace(/,/g, "").match(/^[^\d-]*?(-?\d+(\.\d+)?(e[-+]?\d+)?)/);
  return found ? Number(found[1]) : NaN;
};

const compare = (one, other, numeric) =>
  numeric ? numberIn(one) - numberIn(other) : one.localeCompare(other, "en", { numeric: true });

for (const table of document.querySelectorAll("table[data-sortable]")) {
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    heading.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const downward = heading.getAttribute("aria-sort") === "ascending";
      headings.forEach((each) => each.setAttribute("aria-sort", "none"));
      heading.setAttribute("aria-sort", downward ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => [row.cells[column].textContent.trim(), row]);
      const filled = rows.filter(([text]) => text && text !== "–");
      const numeric = filled.every(([text]) => /^[-−+]?\d/.test(text));
      filled.sort(([one], [other]) => (downward ? -1 : 1) * compare(one, other, numeric));
      const empty = rows.filter(([text]) => !text || text === "–");
      body.append(...[...filled, ...empty].map(([, row]) => row));
    });
  });
}

// Closed parts of the page are printed too.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach((details) => (details.open = true));
});
addEventListener("afterprint", () => folded.forEach((details) => (details.open = false)));
