"use strict";
// The table of scans: sorted and filtered as data, and only as many rows as are looked at are made.
(() => {
  const data = JSON.parse(document.getElementById("table-data").textContent), { columns, shown, rows } = data;
  const CHUNK = 60;
  const find = (id) => document.getElementById(id);
  const at = Object.fromEntries(columns.map((name, i) => [name, i]));
  const table = find("scans"), body = table.tBodies[0], head = table.tHead.rows[0];
  const texts = rows.map((row) => row.join(" ").toLowerCase());
  const doubtful = new Set(data.doubtful);
  const verdicts = rows.map((row, i) => row[at.status] !== "ok" ? row[at.status] : row[at.flags] === "n/a" ? "good" : doubtful.has(i) ? "doubt" : "check");
  const WORDS = { good: "✓ no flags", check: "! check", doubt: "✕ in doubt", failed: "✕ failed", incomplete: "… not finished", skipped: "– left out" };
  const isNumber = (text) => text !== "n/a" && text !== "" && !isNaN(text);
  const NUMERIC = new Set(columns.filter((_, i) => rows.some((row) => isNumber(row[i])) && rows.every((row) => row[i] === "n/a" || isNumber(row[i]))));
  let order = rows.map((_, i) => i), kept = order, made = 0, sortedBy = null, rising = true, visible = shown;

  // ----------------------------------------------------------------------------------- one row
  // The digits a number deserves; the table's download keeps them all.
  const DIGITS = { centiloid: 1, rescan: 1, suvr: 3, window: 0 };
  function printed(name, text) {
    const value = Number(text), digits = DIGITS[name.split("_")[0]];
    const short = digits !== undefined ? value.toFixed(digits) : Number.isInteger(value) ? text : String(Number(value.toPrecision(4)));
    return short.replace("-", "\u2212");
  }

  function cellOf(name, row, i) {
    const text = row[at[name]];
    if (name === "participant_id") {
      const cell = document.createElement("th"), link = document.createElement("a");
      cell.scope = "row";
      link.href = address(i);
      link.textContent = text;
      cell.append(link);
      return cell;
    }
    const cell = document.createElement("td");
    if (name === "status") {
      const chip = document.createElement("span");
      chip.className = `chip ${verdicts[i] === "good" ? "ok" : verdicts[i]}`;
      chip.textContent = WORDS[verdicts[i]] ?? text;
      cell.append(chip);
      return cell;
    }
    cell.className = NUMERIC.has(name) ? "num" : ["reason", "flags"].includes(name) ? "why" : "";
    cell.textContent = text === "n/a" ? "" : NUMERIC.has(name) ? printed(name, text) : text.replaceAll(";", "; ");
    cell.title = cell.textContent.length > 24 ? cell.textContent : "";
    return cell;
  }

  // --------------------------------------------------------------------------------- all rows
  function makeMore(upTo = made + CHUNK) {
    const fresh = kept.slice(made, upTo).map((i) => {
      const line = document.createElement("tr");
      line.dataset.verdict = verdicts[i];
      line.append(...visible.map(([name]) => cellOf(name, rows[i], i)));
      return line;
    });
    body.append(...fresh);
    made += fresh.length;
    find("more").hidden = made >= kept.length;
  }

  const many = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;
  const address = (i) => `${encodeURIComponent(rows[i][at.participant_id])}.html`;

  function fade() {
    const set = new Set(kept);
    for (const dot of document.querySelectorAll("[data-row]")) dot.classList.toggle("dim", !set.has(Number(dot.dataset.row)));
  }

  function redraw() {
    body.replaceChildren();
    made = 0;
    makeMore();
    table.setAttribute("aria-rowcount", kept.length + 1);
    find("shown").textContent = kept.length === rows.length ? many(rows.length, "scan") : `${kept.length} of ${many(rows.length, "scan")}`;
    ratings.list([...new Set(kept.map((i) => rows[i][at.participant_id]))]);
    fade();
  }

  function makeHead() {
    head.replaceChildren(...visible.map(([name, words]) => {
      const cell = document.createElement("th"), button = document.createElement("button");
      cell.scope = "col";
      if (NUMERIC.has(name)) cell.className = "num";
      if (name === sortedBy) cell.setAttribute("aria-sort", rising ? "ascending" : "descending");
      button.type = "button";
      button.textContent = words;
      button.addEventListener("click", () => sort(name));
      cell.append(button);
      return cell;
    }));
  }

  function sort(name) {
    rising = name === sortedBy ? !rising : true;
    sortedBy = name;
    const key = at[name], numeric = NUMERIC.has(name);
    const compare = (a, b) => numeric ? a - b : a.localeCompare(b, "en", { numeric: true });
    order = rows.map((_, i) => i).sort((i, j) => {
      const a = rows[i][key], b = rows[j][key];
      if ((a === "n/a") !== (b === "n/a")) return a === "n/a" ? 1 : -1;  // what is absent comes last
      return (rising ? 1 : -1) * compare(a, b) || i - j;
    });
    makeHead();
    filter();
    head.cells[visible.findIndex(([other]) => other === name)].querySelector("button").focus();
  }

  // ------------------------------------------------------------------------------------ filters
  // A word, or a comparison with a column by its name or its head: sex=F, age>=70, site="site 2".
  // What is half typed (age>) leaves all.
  const NAMES = new Map([...columns.map((name) => [name.toLowerCase(), name]), ...[...shown, ...data.explored].map(([name, words]) => [words.toLowerCase(), name])]);

  function test(term) {
    const [, typed, sign, quoted] = term.match(/^([^<>=!]+)(!=|<=|>=|[<>=])(.*)$/) ?? [];
    const name = NAMES.get(typed), bound = quoted?.replaceAll('"', "");
    if (name === undefined) return (i) => texts[i].includes(term.replaceAll('"', ""));
    if (bound === "" || bound === "-") return () => true;
    const key = at[name], number = bound.trim() !== "" && !isNaN(bound) ? Number(bound) : null;
    if (sign === "=" || sign === "!=") {
      const same = (text) => text.toLowerCase() === bound || text.toLowerCase().replace(/^(sub|ses)-/, "") === bound
        || (number !== null && isNumber(text) && Number(text) === number) || text.toLowerCase().split(";").includes(bound);
      return (i) => same(rows[i][key]) === (sign === "=");
    }
    const compare = { "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b }[sign];
    return (i) => number !== null && isNumber(rows[i][key]) && compare(Number(rows[i][key]), number);
  }

  const terms = (text) => text.toLowerCase().match(/(?:[^\s"]|"[^"]*"?)+/g) ?? [];

  function filter() {
    const tests = terms(find("search").value).map(test);
    const status = find("status").value, tracer = find("tracer").value;
    if (status) tests.push((i) => verdicts[i] === status || (status === "check" && verdicts[i] === "doubt"));
    if (tracer) tests.push((i) => rows[i][at.tracer] === tracer);
    kept = order.filter((i) => tests.every((passes) => passes(i)));
    redraw();
  }

  function download() {
    const lines = [columns, ...kept.map((i) => rows[i])].map((row) => `${row.join("\t")}\n`);
    ratings.save("group_centiloid.tsv", lines.join(""));
  }

  // Ratings that this browser keeps of the scans of this page.
  const here = new Set(rows.map((row) => row[at.record]?.split("/").pop().replace(/_centiloid\.json$/, "")));
  const said = ratings.all().filter((one) => here.has(one.scan));
  if (said.length) {
    find("ratings").textContent = `Download ${many(said.length, "rating")} of this browser (TSV)`;
    find("ratings").hidden = false;
    find("ratings").addEventListener("click", () => ratings.save("ratings.tsv", ratings.table(said)));
  }

  for (const name of [...new Set(rows.map((row) => row[at.tracer]))].sort()) find("tracer").add(new Option(name, name));
  find("search").addEventListener("input", filter);
  for (const id of ["status", "tracer"]) find(id).addEventListener("change", filter);
  find("all-columns").addEventListener("change", (event) => {
    visible = event.target.checked ? columns.map((name) => [name, name]) : shown;
    makeHead();
    redraw();
  });
  find("download").addEventListener("click", download);
  find("more").addEventListener("click", () => makeMore());
  new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting) && made < kept.length) makeMore();
  }, { root: document.querySelector(".tall"), rootMargin: "400px" }).observe(find("more"));
  addEventListener("beforeprint", () => makeMore(kept.length));
  document.querySelector("#table .tools").hidden = false;
  makeHead();
  redraw();

  // ------------------------------------------------------------------------------------- charts
  const open = (i) => { location.href = address(i); };
  for (const dot of document.querySelectorAll("[data-row]")) dot.addEventListener("click", () => open(dot.dataset.row));
  explore(data, open, fade);

  // ------------------------------------------------------------------------------ smaller tables
  const valueOf = (cell) => {
    const text = cell.textContent.trim().replaceAll("\u2212", "-").replaceAll("\u202f", "");
    return cell.classList.contains("num") ? (text === "" ? NaN : parseFloat(text)) : text;
  };
  for (const small of document.querySelectorAll("table.sortable")) {
    const body = small.tBodies[0], heads = [...small.tHead.rows[0].cells];
    heads.forEach((cell, at) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = cell.textContent;
      cell.replaceChildren(button);
      button.addEventListener("click", () => {
        const up = cell.getAttribute("aria-sort") !== "ascending" ? 1 : -1;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        cell.setAttribute("aria-sort", up === 1 ? "ascending" : "descending");
        const lines = [...body.rows].map((line) => [valueOf(line.cells[at]), line]);
        lines.sort(([a], [b]) => typeof a === "string" ? up * a.localeCompare(b, "en", { numeric: true })
          : isNaN(a) || isNaN(b) ? isNaN(a) - isNaN(b) : up * (a - b));
        body.append(...lines.map(([, line]) => line));
      });
    });
  }
})();
