"use strict";
// Viewer of PET over T1w in three planes. Images come from the page itself, see report/viewer.py.
(() => {
  const data = document.getElementById("viewer-data");
  if (!data) return;
  const { blocks, colours, viewers, regions } = JSON.parse(data.textContent);
  const PLANES = [
    { name: "axial", axis: 2, across: 0, up: 1, ends: ["L", "R"] },
    { name: "coronal", axis: 1, across: 0, up: 2, ends: ["L", "R"] },
    { name: "sagittal", axis: 0, across: 1, up: 2, ends: ["P", "A"] },
  ];
  const PIXELS_PER_MM = 2.5;
  const unpack = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const tables = Object.fromEntries(Object.entries(colours).map(([name, text]) => [name, unpack(text)]));

  // ------------------------------------------------------------------------------------- images
  const loaded = new Map();
  const load = (id) => {
    if (!id) return Promise.resolve(null);
    if (!loaded.has(id)) {
      const text = document.getElementById(`block-${id}`).textContent;
      const read = blocks[id].codec === "webp" ? readTiles : readDifferences;
      loaded.set(id, read(text, blocks[id]).then((counts) => ({ ...blocks[id], counts })));
    }
    return loaded.get(id);
  };

  async function readDifferences(text, { shape: [nx] }) {
    const stream = new Blob([unpack(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
    const counts = new Uint8Array(await new Response(stream).arrayBuffer());
    for (let i = 0; i < counts.length; i++) if (i % nx) counts[i] += counts[i - 1];
    return counts;
  }

  async function readTiles(text, { shape: [nx, ny, nz], columns }) {
    const image = new Image();
    image.src = `data:image/webp;base64,${text}`;
    await image.decode();
    const canvas = new OffscreenCanvas(image.width, image.height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, image.width, image.height).data;
    const counts = new Uint8Array(nx * ny * nz);
    for (let z = 0, i = 0; z < nz; z++) {
      const left = (z % columns) * nx, top = Math.floor(z / columns) * ny;
      for (let y = 0; y < ny; y++) {
        let from = 4 * ((top + y) * image.width + left);
        for (let x = 0; x < nx; x++, from += 4) counts[i++] = pixels[from];
      }
    }
    return counts;
  }

  const indexOf = (block, axis, mm) => Math.round((mm - block.low[axis]) / block.step[axis]);
  const isInside = (block, axis, i) => i >= 0 && i < block.shape[axis];

  function countAt(block, at) {
    const index = at.map((mm, axis) => indexOf(block, axis, mm));
    if (!index.every((i, axis) => isInside(block, axis, i))) return null;
    const [x, y, z] = index;
    return block.counts[x + block.shape[0] * (y + block.shape[1] * z)];
  }

  // A slice of a block as pixels; paint(count, pixels, i) writes one of them, first row on top.
  function slice(block, plane, mm, paint) {
    const k = indexOf(block, plane.axis, mm);
    if (!isInside(block, plane.axis, k)) return null;
    const strides = [1, block.shape[0], block.shape[0] * block.shape[1]];
    const width = block.shape[plane.across], height = block.shape[plane.up];
    const image = new ImageData(width, height);
    for (let row = 0, i = 0; row < height; row++) {
      let from = k * strides[plane.axis] + (height - 1 - row) * strides[plane.up];
      for (let column = 0; column < width; column++, i += 4, from += strides[plane.across]) {
        paint(block.counts[from], image.data, i, { from, row, column, strides });
      }
    }
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  // ------------------------------------------------------------------------------------- viewer
  class Viewer {
    constructor(element, settings) {
      this.element = element;
      this.settings = settings;
      this.output = element.querySelector("output");
      this.canvases = PLANES.map((plane) => element.querySelector(`canvas[data-plane=${plane.name}]`));
      this.bar = element.querySelector("canvas.bar");
      this.inputs = Object.fromEntries([...element.querySelectorAll("[data-input]")].map((input) => [input.dataset.input, input]));
      for (const input of Object.values(this.inputs)) input.addEventListener("input", () => this.changed(input));
      this.canvases.forEach((canvas, i) => this.listen(canvas, PLANES[i]));
      element.querySelector("button[data-reset]").addEventListener("click", () => this.reset());
      this.reset();
    }

    reset() {
      const { top, colours: name } = this.settings;
      this.inputs.opacity.value = 75;
      this.inputs.top.max = (1.5 * top).toFixed(1);
      this.inputs.top.value = top;
      this.inputs.colours.value = name;
      this.inputs.outlines.checked = false;
      return this.open(Number(this.inputs.space?.value ?? 0));
    }

    async open(number) {
      this.space = this.settings.spaces[number];
      const { low, high } = this.space;
      const opened = this.space;
      const [pet, anatomy, labels] = await Promise.all([this.space.pet, this.space.anatomy, this.space.labels].map(load));
      if (this.space !== opened) return;  // another space was chosen meanwhile
      Object.assign(this, { pet, anatomy, labels });
      // in template space the precuneus, where amyloid comes early; else the middle
      this.at = labels ? [-8, -52, 26] : low.map((from, axis) => Math.round((from + high[axis]) / 2));
      ["x", "y", "z"].forEach((name, axis) => {
        this.inputs[name].min = Math.ceil(low[axis]);
        this.inputs[name].max = Math.floor(high[axis]);
      });
      this.inputs.outlines.closest("label").hidden = !labels;
      const widths = PLANES.map((plane) => high[plane.across] - low[plane.across]);
      this.element.querySelector(".planes").style.gridTemplateColumns = widths.map((mm) => `${mm}fr`).join(" ");
      this.canvases.forEach((canvas, i) => {
        canvas.width = Math.round(widths[i] * PIXELS_PER_MM);
        canvas.height = Math.round((high[PLANES[i].up] - low[PLANES[i].up]) * PIXELS_PER_MM);
      });
      this.draw();
      this.element.dataset.ready = String(number);
    }

    listen(canvas, plane) {
      const point = (event) => {
        const box = canvas.getBoundingClientRect(), { low, high } = this.space;
        const across = (event.clientX - box.left) / box.width, down = (event.clientY - box.top) / box.height;
        this.move(plane.across, low[plane.across] + across * (high[plane.across] - low[plane.across]));
        this.move(plane.up, high[plane.up] - down * (high[plane.up] - low[plane.up]));
        this.draw();
      };
      canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); point(event); });
      canvas.addEventListener("pointermove", (event) => { if (event.buttons) point(event); });
      canvas.addEventListener("wheel", (event) => {
        if (document.activeElement !== canvas) return;  // the page scrolls until a plane is chosen
        event.preventDefault();
        this.step(plane.axis, event.deltaY < 0 ? 1 : -1);
      }, { passive: false });
      const keys = { ArrowLeft: [plane.across, -1], ArrowRight: [plane.across, 1], ArrowUp: [plane.up, 1],
        ArrowDown: [plane.up, -1], PageUp: [plane.axis, 1], PageDown: [plane.axis, -1] };
      canvas.addEventListener("keydown", (event) => {
        if (!keys[event.key]) return;
        event.preventDefault();
        this.step(...keys[event.key]);
      });
    }

    step(axis, direction) {
      this.move(axis, this.at[axis] + direction * 2);
      this.draw();
    }

    move(axis, mm) {
      const { low, high } = this.space;
      this.at[axis] = Math.round(Math.min(Math.max(mm, Math.ceil(low[axis])), Math.floor(high[axis])));
    }

    changed(input) {
      const axis = ["x", "y", "z"].indexOf(input.dataset.input);
      if (input.dataset.input === "space") { this.open(Number(input.value)); return; }
      if (axis >= 0) this.move(axis, Number(input.value));
      this.draw();
    }

    draw() {
      if (!this.pet) return;
      this.canvases.forEach((canvas, i) => this.drawPlane(canvas, PLANES[i]));
      this.drawBar();
      ["x", "y", "z"].forEach((name, axis) => { this.inputs[name].value = this.at[axis]; });
      this.tell();
    }

    drawPlane(canvas, plane) {
      const context = canvas.getContext("2d");
      context.fillStyle = "#000";
      context.fillRect(0, 0, canvas.width, canvas.height);
      const put = (block, paint, smooth) => {
        const image = block && slice(block, plane, this.at[plane.axis], paint);
        if (!image) return;
        const { low, high } = this.space, [a, b] = [plane.across, plane.up];
        const width = block.shape[a] * block.step[a], height = block.shape[b] * block.step[b];
        const left = block.low[a] - block.step[a] / 2 - low[a];
        const top = high[b] - (block.low[b] - block.step[b] / 2 + height);
        context.imageSmoothingEnabled = smooth;
        context.drawImage(image, ...[left, top, width, height].map((mm) => mm * PIXELS_PER_MM));
      };
      put(this.anatomy, (count, pixels, i) => { pixels[i] = pixels[i + 1] = pixels[i + 2] = count; pixels[i + 3] = 255; }, true);
      put(this.pet, this.petPaint(), true);
      if (this.inputs.outlines.checked) put(this.labels, (...given) => this.paintEdge(plane, ...given), false);
      this.drawCross(context, canvas, plane);
    }

    petPaint() {
      const table = tables[this.inputs.colours.value], top = Number(this.inputs.top.value);
      const opacity = Number(this.inputs.opacity.value) / 100, slope = this.pet.slope;
      return (count, pixels, i) => {
        const share = Math.min((count * slope) / top, 1), from = 3 * Math.round(share * 255);
        pixels[i] = table[from]; pixels[i + 1] = table[from + 1]; pixels[i + 2] = table[from + 2];
        // what has hardly any uptake stays clear, unless PET alone is asked for
        pixels[i + 3] = 255 * (opacity === 1 ? 1 : opacity * Math.min(share / 0.2, 1));
      };
    }

    paintEdge(plane, bits, pixels, i, { from, row, column, strides }) {
      if (!bits) return;
      const { counts, shape } = this.labels;
      const next = [
        column + 1 < shape[plane.across] ? counts[from + strides[plane.across]] : 0,
        column > 0 ? counts[from - strides[plane.across]] : 0,
        row > 0 ? counts[from + strides[plane.up]] : 0,
        row + 1 < shape[plane.up] ? counts[from - strides[plane.up]] : 0,
      ];
      regions.forEach(({ bit, rgb }) => {
        if (rgb && bits & bit && next.some((other) => !(other & bit))) {
          [pixels[i], pixels[i + 1], pixels[i + 2]] = rgb;
          pixels[i + 3] = 255;
        }
      });
    }

    drawCross(context, canvas, plane) {
      const { low, high } = this.space;
      const x = (this.at[plane.across] - low[plane.across]) * PIXELS_PER_MM;
      const y = (high[plane.up] - this.at[plane.up]) * PIXELS_PER_MM, gap = 12;
      for (const [style, width] of [["rgba(0,0,0,.6)", 3], ["#7ddc6f", 1.2]]) {
        context.strokeStyle = style;
        context.lineWidth = width;
        context.beginPath();
        for (const [a, b, c, d] of [[0, y, x - gap, y], [x + gap, y, canvas.width, y], [x, 0, x, y - gap], [x, y + gap, x, canvas.height]]) {
          context.moveTo(a, b);
          context.lineTo(c, d);
        }
        context.stroke();
      }
      const write = (text, left, top, align, size) => {
        context.font = `${size}px system-ui, sans-serif`;
        context.textAlign = align;
        context.lineWidth = 4;
        context.strokeStyle = "#000";
        context.strokeText(text, left, top);
        context.fillStyle = "#eef1f4";
        context.fillText(text, left, top);
      };
      write(plane.ends[0], 8, 28, "left", 24);
      write(plane.ends[1], canvas.width - 8, 28, "right", 24);
      write(`${"xyz"[plane.axis]} = ${this.at[plane.axis]} mm`.replace("-", "\u2212"), 8, canvas.height - 10, "left", 17);
    }

    drawBar() {
      const context = this.bar.getContext("2d"), table = tables[this.inputs.colours.value];
      const image = context.createImageData(256, 1);
      for (let i = 0; i < 256; i++) {
        for (let c = 0; c < 3; c++) image.data[4 * i + c] = table[3 * i + c];
        image.data[4 * i + 3] = 255;
      }
      context.putImageData(image, 0, 0);
      this.element.querySelector("[data-top]").textContent = `${Number(this.inputs.top.value).toFixed(1)} SUVR`;
    }

    tell() {
      const world = [0, 1, 2].map((row) => this.space.to_world[row].reduce((sum, part, axis) => sum + part * (this.at[axis] ?? 1), 0));
      const place = world.map((mm, axis) => `${"xyz"[axis]} ${Math.round(mm)}`.replace("-", "\u2212")).join(", ");
      const count = countAt(this.pet, this.at);
      const limit = count === 255 ? "at least " : "";
      const value = count === null ? "outside" : `SUVR ${limit}${(count * this.pet.slope).toFixed(2)}`;
      const bits = this.labels ? countAt(this.labels, this.at) ?? 0 : 0;
      const names = regions.filter(({ bit }) => bits & bit).map(({ name }) => name);
      this.output.textContent = [`${place} mm`, value, ...names].join(" · ");
    }
  }

  const seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      target.querySelector(".viewer-body").hidden = false;
      if (!("DecompressionStream" in window)) {
        target.querySelector("output").textContent = "This browser is too old for the viewer; the pictures below show the same images.";
        continue;
      }
      new Viewer(target, viewers.find((one) => one.element === target.id));
    }
  }, { rootMargin: "200px" });
  document.querySelectorAll(".viewer").forEach((element) => seen.observe(element));
})();
