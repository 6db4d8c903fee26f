"use strict";
// Layers of a figure: one is shown at a time, two can flicker, outlines can be switched off.
// Without this script the first layer and all outlines are shown.
for (const figure of document.querySelectorAll("figure.layered")) {
  const layers = [...figure.querySelectorAll("svg .layer")];
  const buttons = [...figure.querySelectorAll("button[data-layer]")];
  const flicker = figure.querySelector("button[data-flicker]");
  const lines = figure.querySelector("button[data-outlines]");
  let timer = 0;

  const show = (number) => {
    layers.forEach((layer, i) => layer.classList.toggle("other", i !== number));
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === number)));
  };
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    flicker?.setAttribute("aria-pressed", "false");
  };
  buttons.forEach((button, number) => button.addEventListener("click", () => { stop(); show(number); }));
  flicker?.addEventListener("click", () => {
    if (timer) { stop(); show(0); return; }
    let now = 0;
    flicker.setAttribute("aria-pressed", "true");
    timer = setInterval(() => show((now = 1 - now)), 700);  // slower than anything that could harm
  });
  lines?.addEventListener("click", () => {
    const shown = figure.classList.toggle("no-outlines");
    lines.setAttribute("aria-pressed", String(!shown));
  });
  const switches = figure.querySelector(".switches");
  if (switches) switches.hidden = false;
  addEventListener("beforeprint", () => { stop(); show(0); });
}
