"use strict";
// Centiloids by any column: a line of dots per group, or over a number; colours by another column.
const explore = ({ columns, rows, explored, left_out, scale }, open, drawn) => {
  const WIDTH = 760, LEFT = 58, DOT = 6.5, HALF = 28, ROW = 82, MOST = 12, FEW = 12;
  const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"], REST = "#8a94a0";
  const find = (id) => document.getElementById(id);
  const at = Object.fromEntries(columns.map((name, i) => [name, i]));
  const words = Object.fromEntries(explored);
  const cell = (name, i) => rows[i][at[name]] === "n/a" ? null : rows[i][at[name]];
  const out = new Set(left_out);
  const places = rows.map((_, i) => i).filter((i) => !out.has(i) && cell("centiloid", i) !== null);
  const cl = (i) => Number(cell("centiloid", i));
  const many = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;
  const print = (x, digits = 1) => x.toFixed(digits).replace("-", "\u2212");
  const quantile = (sorted, q) => {
    const place = q * (sorted.length - 1), low = Math.floor(place);
    return sorted[low] + (place - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
  };
  // Lines and correlations take the first scan of everyone: scans of one person are not independent.
  const firstScans = (members) => {
    const first = new Map(), time = (i) => "years" in at && cell("years", i) !== null ? Number(cell("years", i)) : Infinity;
    for (const i of members) {
      const who = cell("participant_id", i);
      if (!first.has(who) || time(i) < time(first.get(who))) first.set(who, i);
    }
    return [...first.values()];
  };
  const isNumber = (name) => {
    const known = places.map((i) => cell(name, i)).filter((text) => text !== null);
    return known.every((text) => text !== "" && !isNaN(text)) && new Set(known).size > FEW;
  };

  // Groups by their names in natural order: values, or thirds of a number; the smallest together.
  function groupsOf(name) {
    const found = new Map(), unknown = [];
    const put = (label, i) => found.has(label) ? found.get(label).push(i) : found.set(label, [i]);
    if (name === "") return new Map([["All scans", places]]);
    if (isNumber(name)) {
      const known = places.filter((i) => cell(name, i) !== null);
      const sorted = known.map((i) => Number(cell(name, i))).sort((a, b) => a - b);
      const [low, high] = [quantile(sorted, 1 / 3), quantile(sorted, 2 / 3)];
      const labels = [`up to ${print(low)}`, `${print(low)} to ${print(high)}`, `above ${print(high)}`];
      labels.forEach((label) => found.set(label, []));
      known.forEach((i) => put(labels[cell(name, i) <= low ? 0 : cell(name, i) <= high ? 1 : 2], i));
    } else {
      const known = places.filter((i) => cell(name, i) !== null);
      known.forEach((i) => put(cell(name, i).replace(/^ses-/, ""), i));
    }
    places.forEach((i) => { if (cell(name, i) === null) unknown.push(i); });
    let groups = isNumber(name) ? [...found] : [...found].sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true }));
    groups = groups.filter(([, members]) => members.length);
    if (groups.length > MOST) {
      const largest = new Set([...groups].sort(([, a], [, b]) => b.length - a.length).slice(0, MOST - 1).map(([label]) => label));
      const others = groups.filter(([label]) => !largest.has(label));
      groups = groups.filter(([label]) => largest.has(label));
      groups.push([many(others.length, "other"), others.flatMap(([, members]) => members)]);
    }
    if (unknown.length) groups.push(["not stated", unknown]);
    return new Map(groups);
  }

  const element = (name, attributes, ...children) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };
  const label = (x, y, text, kind = "muted") => element("text", { x, y, class: kind }, text);

  function axis(low, high, start, end) {
    const place = (x) => start + (Math.min(Math.max(x, low), high) - low) / (high - low || 1) * (end - start);
    const rough = (high - low || 1) / 8, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((f) => f * power).find((one) => one >= 0.999 * rough);
    const ticks = [];
    for (let t = Math.ceil(low / step - 1e-9); t * step <= high + 1e-9; t++) ticks.push(t * step);
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    return { place, ticks: ticks.map((x) => [x, print(x, digits)]) };
  }

  function dot(i, x, y, colour, suffix) {
    const flagged = cell("flags", i) !== null;
    const name = [cell("participant_id", i), cell("session_id", i)].filter(Boolean).join(" ");
    const made = element("circle", { cx: x.toFixed(1), cy: y.toFixed(1), r: 3, class: flagged ? "dot flagged" : "dot", "data-row": i },
      element("title", {}, `${name}: ${print(cl(i))} CL${suffix}`));
    if (colour) made.style[flagged ? "stroke" : "fill"] = colour;
    made.addEventListener("click", () => open(i));
    return made;
  }

  function bottom({ place, ticks }, y, title, end) {
    return [element("line", { class: "tick", x1: place(-Infinity), x2: place(Infinity), y1: y, y2: y }),
      ...ticks.flatMap(([x, text]) => [element("line", { class: "tick", x1: place(x), x2: place(x), y1: y, y2: y + 5 }), label(place(x), y + 19, text, "mid muted")]),
      label(end, y + 36, title, "end muted")];
  }

  function strips(name, colourOf) {
    const groups = [...groupsOf(name)], x = axis(scale.low, scale.high, 16, WIDTH - 16), parts = [];
    groups.forEach(([group, members], line) => {
      const y = 58 + ROW * line, columnsOf = new Map();
      const sorted = members.map(cl).sort((a, b) => a - b);
      parts.push(element("line", { class: "rule", x1: 16, x2: WIDTH - 16, y1: y, y2: y }),
        element("text", { x: 20, y: y - 36 }, group, element("tspan", { class: "muted" }, ` ${members.length}`)));
      if (sorted.length > 2) {
        const middle = x.place(quantile(sorted, 0.5));
        parts.push(element("line", { class: "median", x1: middle, x2: middle, y1: y - 27, y2: y + 27 }));
      }
      for (const i of [...members].sort((a, b) => cl(a) - cl(b))) {
        const bin = Math.round(x.place(cl(i)) / DOT);
        columnsOf.has(bin) ? columnsOf.get(bin).push(i) : columnsOf.set(bin, [i]);
      }
      const step = Math.min(DOT, 2 * HALF / Math.max(...[...columnsOf.values()].map((one) => one.length)));
      for (const bin of columnsOf.values()) {
        bin.forEach((i, n) => parts.push(dot(i, x.place(cl(i)), y + (n % 2 ? -1 : 1) * Math.ceil(n / 2) * step, ...colourOf(i))));
      }
    });
    const height = 20 + ROW * groups.length;
    const sentences = groups.map(([group, members]) => {
      const sorted = members.map(cl).sort((a, b) => a - b);
      return `${group}: ${many(members.length, "scan")}, median ${print(quantile(sorted, 0.5))} CL`;
    });
    return { parts: [...parts, ...bottom(x, height, "CL", WIDTH - 16)], height: height + 42, sentences };
  }

  function scatter(name, colourOf, colours) {
    const known = places.filter((i) => cell(name, i) !== null), xs = known.map((i) => Number(cell(name, i)));
    const room = (list) => { const [a, b] = [Math.min(...list), Math.max(...list)], pad = 0.04 * (b - a || 1); return [a - pad, b + pad]; };
    const x = axis(...room(xs), LEFT, WIDTH - 16), y = axis(...room([0, 50, ...known.map(cl)]), 330, 24);
    const parts = y.ticks.flatMap(([value, text]) => [element("line", { class: "rule", x1: LEFT, x2: WIDTH - 16, y1: y.place(value), y2: y.place(value) }), label(LEFT - 6, y.place(value) + 4, text, "end muted")]);
    parts.push(label(4, 14, "Centiloid, CL"));
    known.forEach((i, n) => parts.push(dot(i, x.place(xs[n]), y.place(cl(i)), ...colourOf(i))));
    const sentences = [], unit = ["age", "years"].includes(name) ? "year" : `unit of ${words[name]}`;
    for (const [group, members, colour] of colours) {
      const pairs = firstScans(members.filter((i) => cell(name, i) !== null)).map((i) => [Number(cell(name, i)), cl(i)]);
      if (pairs.length < 3) continue;
      const mean = (k) => pairs.reduce((sum, pair) => sum + pair[k], 0) / pairs.length, [mx, my] = [mean(0), mean(1)];
      const sum = (f) => pairs.reduce((all, [a, b]) => all + f(a - mx, b - my), 0);
      const [xx, xy, yy] = [sum((a) => a * a), sum((a, b) => a * b), sum((_, b) => b * b)];
      if (!(xx > 0)) continue;
      const slope = xy / xx, ends = [Math.min(...pairs.map(([a]) => a)), Math.max(...pairs.map(([a]) => a))];
      const line = element("line", { class: "median", ...Object.fromEntries(ends.flatMap((end, k) => [[`x${k + 1}`, x.place(end)], [`y${k + 1}`, y.place(my + slope * (end - mx))]])) });
      if (colour) line.style.stroke = colour;
      parts.push(line);
      sentences.push(`${group}: first scans of ${many(pairs.length, "participant")}, ${print(slope, 2)} CL per ${unit}${yy > 0 ? `, r ${print(xy / Math.sqrt(xx * yy), 2)}` : ""}`);
    }
    if (places.length > known.length) sentences.push(`${many(places.length - known.length, "scan")} without ${words[name]} ${places.length - known.length === 1 ? "is" : "are"} not drawn`);
    return { parts: [...parts, ...bottom(x, 336, words[name], WIDTH - 16)], height: 378, sentences };
  }

  function draw() {
    const name = find("by").value, colourName = find("colour").value;
    const groups = [...groupsOf(colourName)];
    let n = 0;
    const colours = groups.map(([group, members]) => [group, members, colourName === "" ? null : group === "not stated" || n >= COLOURS.length ? REST : COLOURS[n++]]);
    const of = new Map(colours.flatMap(([group, members, colour]) => members.map((i) => [i, [colour, colourName === "" ? "" : `, ${words[colourName]} ${group}`]])));
    const made = name !== "" && isNumber(name) ? scatter(name, (i) => of.get(i), colours) : strips(name, (i) => of.get(i));
    const title = `Centiloids${name === "" ? "" : isNumber(name) ? ` against ${words[name]}` : ` by ${words[name]}`}`;
    const svg = element("svg", { viewBox: `0 0 ${WIDTH} ${made.height}`, class: "chart", role: "img", "aria-label": `${title}. ${made.sentences.join("; ")}` }, ...made.parts);
    find("drawn").replaceChildren(svg);
    find("explored").textContent = `${title}. A dot is a scan, an open one has flags. ${made.sentences.join("; ")}.`;
    find("legend").replaceChildren(...colours.filter(([, , colour]) => colour).map(([group, members, colour]) => {
      const one = document.createElement("li"), swatch = document.createElement("span");
      swatch.style.background = colour;
      one.append(swatch, `${group} (${members.length})`);
      return one;
    }));
    drawn();
  }

  if (!places.length) return;
  for (const [id, none] of [["by", "nothing"], ["colour", "nothing"]]) {
    find(id).add(new Option(none, ""));
    for (const [name, text] of explored) find(id).add(new Option(text, name));
    find(id).addEventListener("change", draw);
  }
  find("by").value = ["age", "site", "tracer"].find((name) => name in words) ?? "";
  find("explore").hidden = false;
  draw();
};
