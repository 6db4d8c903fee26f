"use strict";
// What readers say of scans, kept by the browser until it is downloaded as a table; and the way from
// one page to the next in the order in which the group page listed them.
const ratings = (() => {
  const PREFIX = "centipet-rating/", COLUMNS = ["scan", "rating", "rater", "comment", "rated", "record_sha256"];
  const folder = location.href.split("#")[0].replace(/[^/]*$/, "");
  const store = (() => {  // some browsers keep nothing for files
    try {
      localStorage.setItem("centipet-test", "1");
      localStorage.removeItem("centipet-test");
      return localStorage;
    } catch {
      return null;
    }
  })();
  const kept = (key) => {
    try {
      return JSON.parse(store?.getItem(key) ?? "null");
    } catch {
      return null;
    }
  };
  const cell = (value) => {
    const text = String(value ?? "").replace(/\s+/g, " ").replaceAll('"', "'").trim() || "n/a";
    return /^[=+\-@]/.test(text) ? `'${text}` : text;
  };

  return {
    usable: store !== null,
    key: (scan, hash) => `${PREFIX}${scan}/${hash}`,
    get: kept,
    set: (key, value) => value === null ? store?.removeItem(key) : store?.setItem(key, JSON.stringify(value)),
    // Every rating of a scan, also of results of before.
    of(scan) {
      const keys = store ? Object.keys(store).filter((key) => key.startsWith(`${PREFIX}${scan}/`)) : [];
      return keys.map(kept).filter((one) => one?.rating);
    },
    all() {
      const keys = store ? Object.keys(store).filter((key) => key.startsWith(PREFIX)) : [];
      return keys.sort().map(kept).filter((one) => one?.rating);
    },
    table: (list) => [COLUMNS, ...list.map((one) => COLUMNS.map((name) => cell(one[name])))].map((row) => `${row.join("\t")}\n`).join(""),
    save(name, text) {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([text], { type: "text/tab-separated-values" }));
      link.download = name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    },
    list: (people) => store?.setItem(`centipet-list/${folder}`, JSON.stringify(people)),
    listed: () => kept(`centipet-list/${folder}`),
  };
})();

(() => {
  const WORDS = { accept: "accepted", doubt: "doubted", reject: "rejected" };
  const cards = [...document.querySelectorAll(".rating")];
  const mine = new Map();  // where the browser keeps nothing, as long as the page is open
  for (const card of cards) {
    const { scan, hash } = card.dataset, key = ratings.key(scan, hash);
    const choices = [...card.querySelectorAll("[type=radio]")], said = card.querySelector("output");
    const [comment, rater] = ["comment", "rater"].map((name) => card.querySelector(`[name=${name}]`));
    const show = () => {
      const now = mine.get(scan), before = ratings.of(scan).find((one) => one.record_sha256 !== hash);
      said.textContent = now ? `You ${WORDS[now.rating]} this scan.`
        : before ? `You ${WORDS[before.rating]} an earlier result of this scan, which was computed again since: that rating is outdated.`
        : "Not rated yet.";
      card.querySelector(".withdraw").hidden = !now;
      card.querySelector(".download").disabled = !mine.size;
    };
    const rate = () => {
      const rating = choices.find((one) => one.checked)?.value;
      if (!rating) return;
      const now = { scan, rating, rater: rater.value, comment: comment.value, rated: new Date().toISOString(), record_sha256: hash };
      mine.set(scan, now);
      ratings.set(key, now);
      ratings.set("centipet-rater", rater.value);
      show();
    };
    const known = ratings.get(key);
    if (known?.rating) {
      mine.set(scan, known);
      choices.forEach((one) => { one.checked = one.value === known.rating; });
    }
    comment.value = known?.comment ?? "";
    rater.value = known?.rater ?? ratings.get("centipet-rater") ?? "";
    [...choices, comment, rater].forEach((one) => one.addEventListener("change", rate));
    card.querySelector(".withdraw").addEventListener("click", () => {
      mine.delete(scan);
      ratings.set(key, null);
      choices.forEach((one) => { one.checked = false; });
      show();
    });
    card.querySelector(".download").addEventListener("click", () => {
      ratings.save(`${document.title.split(" ")[0]}_ratings.tsv`, ratings.table([...mine.values()]));
    });
    if (!ratings.usable) card.querySelector(".lost").hidden = false;
    card.hidden = false;
    show();
  }

  const way = document.querySelector(".way"), people = way && ratings.listed();
  const here = Array.isArray(people) ? people.indexOf(way.dataset.participant) : -1;
  if (here < 0) return;
  for (const [rel, step] of [["prev", -1], ["next", 1]]) {
    const link = way.querySelector(`[rel=${rel}]`), other = people[here + step];
    if (other === undefined) continue;
    link.href = `${encodeURIComponent(other)}.html`;
    link.querySelector("span").textContent = other;
    link.hidden = false;
  }
  way.querySelector("output").textContent = `${here + 1} of ${people.length}`;
  way.hidden = false;
})();
