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
  const PIXELS_PER_MM = 2.5, LARGEST_ZOOM = 8, TAP_PX = 6;
  const unpack = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const tables = Object.fromEntries(Object.entries(colours).map(([name, text]) => [name, unpack(text)]));
  const within = (value, low, high) => Math.min(Math.max(value, low), high);
  const minus = (text) => text.replace("-", "\u2212");

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
    const [x, y, z] = at.map((mm, axis) => indexOf(block, axis, mm));
    if (![x, y, z].every((i, axis) => isInside(block, axis, i))) return null;
    return block.counts[x + block.shape[0] * (y + block.shape[1] * z)];
  }

  // Counts of a block in a plane, first row on top: of the slice at mm, or the largest along the axis.
  function cut(block, plane, mm, largest) {
    const [nx, ny] = block.shape, strides = [1, nx, nx * ny];
    const width = block.shape[plane.across], height = block.shape[plane.up];
    const here = indexOf(block, plane.axis, mm);
    if (!largest && !isInside(block, plane.axis, here)) return null;
    if (largest && block.largest?.[plane.axis]) return block.largest[plane.axis];
    const counts = new Uint8Array(width * height);
    for (let k = largest ? 0 : here; k < (largest ? block.shape[plane.axis] : here + 1); k++) {
      for (let row = 0, i = 0; row < height; row++) {
        let from = k * strides[plane.axis] + (height - 1 - row) * strides[plane.up];
        for (let column = 0; column < width; column++, i++, from += strides[plane.across]) {
          if (block.counts[from] > counts[i]) counts[i] = block.counts[from];
        }
      }
    }
    if (largest) (block.largest ??= {})[plane.axis] = counts;
    return counts;
  }

  // ------------------------------------------------------------------------------------- viewer
  class Viewer {
    constructor(element, settings) {
      this.element = element;
      this.settings = settings;
      this.output = element.querySelector("output");
      const find = (name) => PLANES.map((plane) => element.querySelector(`canvas[data-${name}=${plane.name}]`));
      this.canvases = find("plane");
      this.beside = find("beside");
      this.bar = element.querySelector("canvas.bar");
      this.inputs = Object.fromEntries([...element.querySelectorAll("[data-input]")].map((input) => [input.dataset.input, input]));
      for (const input of Object.values(this.inputs)) input.addEventListener("input", () => this.changed(input));
      for (const row of [this.canvases, this.beside]) row.forEach((canvas, i) => this.listen(canvas, PLANES[i]));
      element.querySelector("button[data-reset]").addEventListener("click", () => this.reset());
      const full = element.querySelector("button[data-full]");
      full.hidden = !document.fullscreenEnabled;
      full.addEventListener("click", () => document.fullscreenElement ? document.exitFullscreen() : element.requestFullscreen());
      this.reset();
    }

    reset() {
      const { opacity, colours: colour, outlines, largest, layout, convention } = this.inputs;
      opacity.value = 60;
      colour.value = this.settings.colours;
      outlines.checked = largest.checked = false;
      layout.value = "blended";
      convention.value = "neurological";
      return this.open(Number(this.inputs.space?.value ?? 0));
    }

    async open(number) {
      const space = this.space = this.settings.spaces[number];
      const { low, high } = space;
      const opened = await Promise.all([space.pet, space.anatomy, space.labels].map(load));
      if (this.space !== space) return;  // another space was chosen meanwhile
      [this.mean, this.anatomy, this.labels] = opened;
      this.at = space.start.slice();
      this.centre = this.at.slice();
      ["x", "y", "z"].forEach((name, axis) => {
        this.inputs[name].min = Math.ceil(low[axis]);
        this.inputs[name].max = Math.floor(high[axis]);
      });
      this.inputs.zoom.value = 1;
      this.inputs.time.max = space.frames.length;
      this.inputs.time.value = 0;
      this.inputs.time.closest("label").hidden = !space.frames.length;
      this.inputs.outlines.closest("label").hidden = !this.labels;
      this.element.querySelector("[data-space]").textContent = space.name;
      const widths = PLANES.map((plane) => high[plane.across] - low[plane.across]);
      for (const row of [this.canvases, this.beside]) {
        row[0].parentElement.style.gridTemplateColumns = widths.map((mm) => `${mm}fr`).join(" ");
        row.forEach((canvas, i) => {
          canvas.width = Math.round(widths[i] * PIXELS_PER_MM);
          canvas.height = Math.round((high[PLANES[i].up] - low[PLANES[i].up]) * PIXELS_PER_MM);
        });
      }
      await this.show(0);
      this.element.dataset.ready = String(number);
    }

    // The mean over the window (0), or a frame of a dynamic scan.
    async show(number) {
      const frame = this.space.frames[number - 1], scale = frame ?? this.settings;
      const shown = this.shown = frame ? await load(frame.pet) : this.mean;
      if (this.shown !== shown) return;
      this.pet = shown;
      this.unit = frame ? "kBq/ml" : "SUVR";
      this.inputs.top.max = (1.5 * scale.top).toFixed(1);
      this.inputs.top.value = scale.top;
      this.element.querySelector("[data-time]").textContent = frame ? frame.label : "mean over the window";
      this.draw();
    }

    // ---------------------------------------------------------------------------------- geometry
    get zoom() { return Number(this.inputs.zoom.value); }

    get flipped() { return this.inputs.convention.value === "radiological"; }

    // First coordinate of what is shown along an axis, mm, and how much of it.
    seen(axis) {
      const low = this.space.low[axis], size = (this.space.high[axis] - low) / this.zoom;
      return [within(this.centre[axis] - size / 2, low, this.space.high[axis] - size), size];
    }

    world() {
      return this.space.to_world.slice(0, 3).map((row) => Math.round(row.reduce((sum, part, axis) => sum + part * (this.at[axis] ?? 1), 0)) || 0);
    }

    zoomTo(zoom) {
      this.inputs.zoom.value = within(zoom, 1, LARGEST_ZOOM);
      this.draw();
    }

    // Move what is shown by a share of its width and height, to the right and down on the screen.
    pan(plane, right, down) {
      this.keepInside();
      this.centre[plane.across] -= right * this.seen(plane.across)[1] * (this.flipped && plane.across === 0 ? -1 : 1);
      this.centre[plane.up] += down * this.seen(plane.up)[1];
      this.keepInside();
      this.draw();
    }

    keepInside() {
      this.centre = this.centre.map((_, axis) => { const [start, size] = this.seen(axis); return start + size / 2; });
    }

    point(canvas, plane, event) {
      const box = canvas.getBoundingClientRect();
      let across = (event.clientX - box.left) / box.width;
      const down = (event.clientY - box.top) / box.height;
      if (this.flipped && plane.across === 0) across = 1 - across;
      const [left, width] = this.seen(plane.across), [bottom, height] = this.seen(plane.up);
      this.move(plane.across, left + across * width);
      this.move(plane.up, bottom + (1 - down) * height);
      this.draw();
    }

    step(axis, direction) {
      this.move(axis, this.at[axis] + direction * 2);
      const [start, size] = this.seen(axis);
      if (this.at[axis] < start || this.at[axis] > start + size) this.centre[axis] = this.at[axis];
      this.draw();
    }

    move(axis, mm) {
      const { low, high } = this.space;
      this.at[axis] = Math.round(within(mm, Math.ceil(low[axis]), Math.floor(high[axis])));
    }

    // ------------------------------------------------------------------------------------- input
    listen(canvas, plane) {
      const fingers = new Map();  // a swipe up or down scrolls the page: the browser takes it away
      const spread = () => { const [a, b] = [...fingers.values()]; return Math.hypot(a.x - b.x, a.y - b.y); };
      canvas.addEventListener("pointerdown", (event) => {
        fingers.set(event.pointerId, { x: event.clientX, y: event.clientY, moved: false });
        if (event.pointerType === "touch") return;
        canvas.setPointerCapture(event.pointerId);
        if (event.button === 0 && !event.shiftKey) this.point(canvas, plane, event);
      });
      canvas.addEventListener("pointermove", (event) => {
        const finger = fingers.get(event.pointerId);
        if (!finger) return;
        const right = event.clientX - finger.x, down = event.clientY - finger.y;
        if (!finger.moved && Math.hypot(right, down) < TAP_PX) return;
        const before = fingers.size === 2 && spread();
        if (!finger.moved) finger.scrolls = event.pointerType === "touch" && !before && Math.abs(down) >= Math.abs(right);
        Object.assign(finger, { x: event.clientX, y: event.clientY, moved: true });
        if (finger.scrolls && !before) return;
        if (before) this.zoomTo(this.zoom * (spread() / before));
        const panned = before || event.shiftKey || event.buttons > 1;
        if (panned) this.pan(plane, right / canvas.clientWidth, down / canvas.clientHeight);
        else this.point(canvas, plane, event);
      });
      canvas.addEventListener("pointerup", (event) => {
        const finger = fingers.get(event.pointerId);
        if (finger && !finger.moved && event.pointerType === "touch") this.point(canvas, plane, event);
        fingers.delete(event.pointerId);
      });
      canvas.addEventListener("pointercancel", (event) => fingers.delete(event.pointerId));
      canvas.addEventListener("contextmenu", (event) => event.preventDefault());
      canvas.addEventListener("wheel", (event) => {
        const zooms = event.ctrlKey;  // also two fingers on a touch pad
        if (!zooms && document.activeElement !== canvas) return;  // the page scrolls until a plane is chosen
        event.preventDefault();
        if (zooms) this.zoomTo(this.zoom * 2 ** (-event.deltaY / 200));
        else this.step(plane.axis, event.deltaY < 0 ? 1 : -1);
      }, { passive: false });
      canvas.addEventListener("keydown", (event) => {
        const side = this.flipped && plane.across === 0 ? -1 : 1;
        const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
        if (arrows && event.shiftKey) this.pan(plane, -arrows[0] / 10, -arrows[1] / 10);
        else if (arrows) this.step(arrows[0] ? plane.across : plane.up, arrows[0] ? side * arrows[0] : -arrows[1]);
        else if (event.key === "PageUp") this.step(plane.axis, 1);
        else if (event.key === "PageDown") this.step(plane.axis, -1);
        else if (event.key === "+" || event.key === "=") this.zoomTo(this.zoom * 1.25);
        else if (event.key === "-") this.zoomTo(this.zoom / 1.25);
        else if (event.key === "0") this.zoomTo(1);
        else return;
        event.preventDefault();
      });
    }

    changed(input) {
      const name = input.dataset.input, axis = ["x", "y", "z"].indexOf(name);
      if (name === "space") { this.open(Number(input.value)); return; }
      if (name === "time") { this.show(Number(input.value)); return; }
      if (name === "zoom") this.centre = this.at.slice();
      if (axis >= 0) { this.move(axis, Number(input.value)); this.step(axis, 0); }
      this.draw();
    }

    // -------------------------------------------------------------------------------------- drawing
    draw() {
      if (!this.pet) return;
      const { layout, largest } = this.inputs, sideBySide = layout.value === "beside";
      this.beside[0].parentElement.hidden = !sideBySide;
      this.canvases.forEach((canvas, i) => this.drawPlane(canvas, PLANES[i], !sideBySide && !largest.checked, true));
      if (sideBySide) this.beside.forEach((canvas, i) => this.drawPlane(canvas, PLANES[i], true, false));
      this.drawBar();
      ["x", "y", "z"].forEach((name, axis) => { this.inputs[name].value = this.at[axis]; });
      this.tell();
    }

    drawPlane(canvas, plane, withAnatomy, withPet) {
      const context = canvas.getContext("2d"), scale = PIXELS_PER_MM * this.zoom;
      const [left] = this.seen(plane.across), [bottom, height] = this.seen(plane.up);
      const mirrored = this.flipped && plane.across === 0;
      context.resetTransform();
      context.fillStyle = "#000";
      context.fillRect(0, 0, canvas.width, canvas.height);
      if (mirrored) context.setTransform(-1, 0, 0, 1, canvas.width, 0);
      const put = (block, paint, largest = false) => {
        const counts = block && cut(block, plane, this.at[plane.axis], largest);
        if (!counts) return;
        const size = [plane.across, plane.up].map((axis) => block.shape[axis]);
        const image = new ImageData(...size);
        counts.forEach((count, i) => paint(count, image.data, 4 * i, counts, i, size[0]));
        const drawn = new OffscreenCanvas(...size);
        drawn.getContext("2d").putImageData(image, 0, 0);
        const [a, b] = [plane.across, plane.up], high = block.low[b] + block.step[b] * (block.shape[b] - 0.5);
        context.imageSmoothingEnabled = block !== this.labels;
        context.drawImage(drawn, ...[
          block.low[a] - block.step[a] / 2 - left, bottom + height - high,
          size[0] * block.step[a], size[1] * block.step[b],
        ].map((mm) => mm * scale));
      };
      const largest = this.inputs.largest.checked;
      if (withAnatomy) put(this.anatomy, (count, pixels, i) => { pixels[i] = pixels[i + 1] = pixels[i + 2] = count; pixels[i + 3] = 255; });
      if (withPet) put(this.pet, this.petPaint(withAnatomy), largest);
      if (this.inputs.outlines.checked && !(largest && withPet)) put(this.labels, paintEdge);
      context.resetTransform();
      this.drawCross(context, canvas, plane, mirrored);
    }

    petPaint(blended) {
      const table = tables[this.inputs.colours.value], top = Number(this.inputs.top.value);
      const opacity = blended ? Number(this.inputs.opacity.value) / 100 : 1, slope = this.pet.slope;
      return (count, pixels, i) => {
        const share = Math.min((count * slope) / top, 1), from = 3 * Math.round(share * 255);
        pixels[i] = table[from]; pixels[i + 1] = table[from + 1]; pixels[i + 2] = table[from + 2];
        // what has hardly any uptake stays clear, unless PET alone is asked for
        pixels[i + 3] = 255 * (opacity === 1 ? 1 : opacity * Math.min(share / 0.2, 1));
      };
    }

    drawCross(context, canvas, plane, mirrored) {
      const scale = PIXELS_PER_MM * this.zoom, gap = 12;
      const [left] = this.seen(plane.across), [bottom, height] = this.seen(plane.up);
      let x = (this.at[plane.across] - left) * scale;
      if (mirrored) x = canvas.width - x;
      const y = (bottom + height - this.at[plane.up]) * scale;
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
      const write = (text, at, top, align, size) => {
        context.font = `${size}px system-ui, sans-serif`;
        context.textAlign = align;
        context.lineWidth = 4;
        context.strokeStyle = "#000";
        context.strokeText(text, at, top);
        context.fillStyle = "#eef1f4";
        context.fillText(text, at, top);
      };
      const ends = mirrored ? [...plane.ends].reverse() : plane.ends;
      write(ends[0], 8, 28, "left", 24);
      write(ends[1], canvas.width - 8, 28, "right", 24);
      canvas.dataset.label = this.inputs.largest.checked && canvas.dataset.plane ? "maximum" : minus(`${"xyz"[plane.axis]} = ${this.world()[plane.axis]} mm`);
      write(canvas.dataset.label, 8, canvas.height - 10, "left", 17);
    }

    drawBar() {
      const context = this.bar.getContext("2d"), table = tables[this.inputs.colours.value];
      const image = context.createImageData(256, 1);
      for (let i = 0; i < 256; i++) {
        for (let c = 0; c < 3; c++) image.data[4 * i + c] = table[3 * i + c];
        image.data[4 * i + 3] = 255;
      }
      context.putImageData(image, 0, 0);
      this.element.querySelector("[data-top]").textContent = `${Number(this.inputs.top.value).toFixed(1)} ${this.unit}`;
    }

    tell() {
      const place = this.world().map((mm, axis) => minus(`${"xyz"[axis]} ${mm}`)).join(", ");
      const count = countAt(this.pet, this.at);
      const limit = count === 255 ? "at least " : "", digits = this.unit === "SUVR" ? 2 : 1;
      const value = count === null ? "outside" : `${this.unit} ${limit}${(count * this.pet.slope).toFixed(digits)}`;
      const bits = this.labels ? countAt(this.labels, this.at) ?? 0 : 0;
      const names = regions.filter(({ bit }) => bits & bit).map(({ name }) => name);
      this.output.textContent = [`${place} mm`, value, ...names].join(" \u00b7 ");
    }
  }

  function paintEdge(bits, pixels, i, counts, place, width) {
    if (!bits) return;
    const column = place % width;
    const next = [
      column + 1 < width ? counts[place + 1] : 0, column > 0 ? counts[place - 1] : 0,
      counts[place + width] ?? 0, counts[place - width] ?? 0,
    ];
    regions.forEach(({ bit, rgb }) => {
      if (rgb && bits & bit && next.some((other) => !(other & bit))) {
        [pixels[i], pixels[i + 1], pixels[i + 2]] = rgb;
        pixels[i + 3] = 255;
      }
    });
  }

  const seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      target.querySelector(".viewer-body").hidden = false;
      if (!("DecompressionStream" in window)) {
        target.querySelector("output").textContent = "This browser is too old for the viewer; the pictures show the same images.";
        continue;
      }
      new Viewer(target, viewers.find((one) => one.element === target.id));
    }
  }, { rootMargin: "200px" });
  document.querySelectorAll(".viewer").forEach((element) => seen.observe(element));
})();
