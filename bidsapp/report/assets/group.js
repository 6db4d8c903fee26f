"use strict";
// Sorting and searching of the table; without it the page is still complete.
const body = document.querySelector("#scans tbody");
const rows = Array.from(body.rows);
const search = document.querySelector("#search");
const status = document.querySelector("#status");
const shown = document.querySelector("#shown");

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    const kind = row.dataset.verdict;
    row.hidden = !(words.every((word) => text.includes(word)) && (!status.value || kind === status.value));
    count += !row.hidden;
  }
  shown.textContent = count === rows.length ? `${count} scans` : `${count} of ${rows.length} scans`;
}

function sort(header) {
  const column = header.cellIndex;
  const down = header.getAttribute("aria-sort") === "ascending";
  for (const other of header.parentNode.cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
  const compare = (a, b) => {
    const [x, y] = [key(a), key(b)];
    if ((x === "") !== (y === "")) return x === "" ? 1 : -1;
    const order = x !== "" && !isNaN(x) && !isNaN(y) ? x - y : x.localeCompare(y, "en", { numeric: true });
    return down ? -order : order;
  };
  body.append(...rows.sort(compare));
}

for (const button of document.querySelectorAll("#scans th button")) {
  button.addEventListener("click", () => sort(button.closest("th")));
}
search.addEventListener("input", filter);
status.addEventListener("change", filter);
document.querySelector("#tools").hidden = false;
filter();
