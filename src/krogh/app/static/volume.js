// Show a field in three dimensions with its vessels or layers: slices of the box, drawn back to front, each an affine picture.
const EDGES = [[0, 1], [2, 3], [4, 5], [6, 7], [0, 2], [1, 3], [4, 6], [5, 7], [0, 4], [1, 5], [2, 6], [3, 7]];

function bytes(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

function duration(s) {
  const [size, name] = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"], [1e-3, "ms"]].find(([u]) => s >= 0.995 * u && !(u === 86400 && s < 5 * u)) ?? [1e-3, "ms"];
  return `${s / size >= 9.95 ? (s / size).toFixed(0) : (s / size).toFixed(1)} ${name}`;
}

export default {
  template: `
    <div class="krogh-section">
      <p v-if="error" role="alert">{{ error }}</p>
      <p v-else-if="!data" aria-busy="true">Loading the volume ...</p>
      <div v-show="data">
        <canvas ref="canvas" tabindex="0" role="application" :aria-label="label" data-testid="volume" class="krogh-volume"
          @pointerdown="grab" @pointermove="turn" @pointerup="held = null" @pointercancel="held = null" @keydown="key"></canvas>
        <div class="krogh-player">
          <button type="button" @click="toggle" :aria-label="playing ? 'Pause' : 'Play'" data-testid="volume-play">{{ playing ? "❚❚" : "▶" }}</button>
          <label :for="name + 't'">time</label>
          <input :id="name + 't'" type="range" min="0" max="1000" step="1" v-model.number="place" @input="scrub" :aria-valuetext="clock" data-testid="volume-time">
          <output data-testid="volume-clock">{{ clock }}</output>
        </div>
        <div class="krogh-player">
          <label :for="name + 'l'">show above</label>
          <input :id="name + 'l'" type="range" min="0" max="99" v-model.number="above" @input="scrub" data-testid="volume-above">
          <output>{{ data ? number(at(above / 100)) + " " + data.unit : "" }}</output>
          <label :for="name + 'o'">opacity</label>
          <input :id="name + 'o'" type="range" min="2" max="100" v-model.number="opacity" @input="scrub">
          <label :for="name + 'c'">{{ data?.stretched ? "cut off the blood side" : "cut off along x" }}</label>
          <input :id="name + 'c'" type="range" min="0" max="95" v-model.number="cut" @input="scrub" data-testid="volume-cut">
          <button type="button" @click="angles = [...home]; draw()">reset the view</button>
        </div>
        <p v-if="data" class="krogh-soft">Drag, or use the arrow keys, to turn it. {{ data.shape.slice(1).join(" × ") }} cells are shown{{ data.stretched ? "; every layer is stretched to its own band" : "" }}{{ data.shape[0] < data.stored ? "; " + data.shape[0] + " of " + data.stored + " stored times" : "" }}.</p>
      </div>
    </div>`,
  props: { source: String, name: String },
  data: () => ({ data: null, error: "", place: 700, above: 8, opacity: 30, cut: 0, playing: false, angles: [-0.6, 0.42], home: [-0.6, 0.42], held: null, frames: 0 }),
  computed: {
    time() {
      if (!this.data) return 0;
      const t = this.data.times, first = Math.max(t[0], 1e-3);
      return t.length < 2 ? t[0] : first * Math.pow(t.at(-1) / first, this.place / 1000);
    },
    clock() { return duration(this.time); },
    label() { return this.data ? `${this.data.title}: free concentration in three dimensions after ${this.clock}; arrow keys turn it` : "volume"; },
  },
  watch: { source() { this.load(); } },
  mounted() {
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.$el);
    this.load();
  },
  unmounted() { this.playing = false; clearTimeout(this.rest); this.observer.disconnect(); },
  methods: {
    async load() {
      this.data = null; this.error = "";
      try {
        const answer = await fetch(this.source);
        if (!answer.ok) throw new Error(await answer.text());
        const data = await answer.json();
        this.values = bytes(data.values);
        this.colours = bytes(data.colours);
        this.blood = data.vessels ? bytes(data.vessels.values) : null;
        this.slices = []; this.sorted = null;
        // the wall hides what leaks through it: the view of a block begins behind the endothelium
        this.opacity = data.vessels ? 10 : 30; // vessels show through their tissue
        this.cut = Math.round(100 * (data.planes.find((p) => p.name.startsWith("basement"))?.at ?? 0));
        this.data = data;
        this.$nextTick(this.draw);
      } catch (problem) { this.error = `The volume cannot be shown: ${problem.message}`; }
    },
    number(v) { return v >= 1e4 || v < 1e-3 ? v.toExponential(1) : String(+v.toPrecision(2)); },
    at(share) { return this.data.low * Math.pow(this.data.high / this.data.low, share); },
    toggle() {
      this.playing = !this.playing;
      this.last = undefined;
      if (this.playing && this.place >= 1000) this.place = 0;
      if (this.playing) this.step(performance.now());
    },
    step(now) {
      if (!this.playing) return;
      this.place = Math.min(1000, this.place + Math.min(now - (this.last ?? now), 100) * 0.12);
      this.last = now;
      this.scrub();
      if (this.place >= 1000) this.playing = false; else requestAnimationFrame(this.step);
    },
    // while something moves about 32 slices are drawn, and all of them once it rests
    scrub() {
      this.coarse = true;
      this.draw();
      clearTimeout(this.rest);
      this.rest = setTimeout(() => { this.coarse = false; this.draw(); }, 250);
    },
    grab(event) { this.held = [event.clientX, event.clientY]; event.currentTarget.setPointerCapture(event.pointerId); },
    turn(event) {
      if (!this.held) return;
      this.rotate((event.clientX - this.held[0]) * 0.008, (event.clientY - this.held[1]) * 0.008);
      this.held = [event.clientX, event.clientY];
    },
    key(event) {
      const by = { ArrowLeft: [-0.12, 0], ArrowRight: [0.12, 0], ArrowUp: [0, -0.12], ArrowDown: [0, 0.12] }[event.key];
      if (by) { event.preventDefault(); this.rotate(...by); }
    },
    rotate(yaw, pitch) {
      this.angles = [this.angles[0] + yaw, Math.min(1.5, Math.max(-1.5, this.angles[1] + pitch))];
      this.scrub();
    },
    // rows: right, up and towards the viewer, for (x, y, z) of the box with z upwards
    axes() {
      const [a, p] = this.angles, [ca, sa, cp, sp] = [Math.cos(a), Math.sin(a), Math.cos(p), Math.sin(p)];
      return [[ca, sa, 0], [-sa * sp, ca * sp, cp], [sa * cp, -ca * cp, sp]];
    },
    draw() {
      const data = this.data, canvas = this.$refs.canvas;
      if (!data || !canvas || !this.$el.clientWidth) return;
      const width = this.$el.clientWidth, height = Math.min(460, Math.max(300, 0.62 * width)), ratio = Math.min(window.devicePixelRatio || 1, 2);
      if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
        canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
        canvas.style.width = `${width}px`; canvas.style.height = `${height}px`;
      }
      const g = canvas.getContext("2d"), size = data.edges_um, [right, up, near] = this.axes();
      const scale = Math.min(width * 0.8, height * 0.78) / Math.hypot(...size) * 1.15;
      const dot = (row, p) => row[0] * (p[0] - size[0] / 2) + row[1] * (p[1] - size[1] / 2) + row[2] * (p[2] - size[2] / 2);
      const put = (p) => [width * 0.46 + scale * dot(right, p), height / 2 - scale * dot(up, p)];
      g.setTransform(ratio, 0, 0, ratio, 0, 0);
      g.clearRect(0, 0, width, height);
      const dark = document.body.classList.contains("body--dark"), ink = dark ? "#e8eaed" : "#1a1d21", line = dark ? "#7a828b" : "#8a9199";
      this.box(g, put, near, size, line, false);
      const k = near.map(Math.abs).indexOf(Math.max(...near.map(Math.abs)));
      const stride = this.coarse ? Math.max(1, Math.round(data.shape[k + 1] / 32)) : 1;
      this.fill(k, stride);
      this.stack(g, { k, stride, put, near, size, scale, ratio, dark });
      g.setTransform(ratio, 0, 0, ratio, 0, 0);
      this.box(g, put, near, size, line, true);
      this.words(g, put, size, ink, line);
      this.bar(g, width, height, ink);
      this.frames++;
    },
    moment() {
      const t = this.data.times, now = this.time;
      let frame = 0;
      while (frame < t.length - 2 && t[frame + 1] <= now) frame++;
      return [frame, t.length > 1 ? Math.min(1, Math.max(0, (now - t[frame]) / (t[frame + 1] - t[frame]))) : 0];
    },
    // colours of every slice across axis k at the present time
    fill(k, stride) {
      const [, nx, ny, nz] = this.data.shape, n = [nx, ny, nz], step = [ny * nz, nz, 1], [u, v] = [0, 1, 2].filter((i) => i !== k);
      const [frame, part] = this.moment(), cells = nx * ny * nz, here = frame * cells, next = this.data.shape[0] > 1 ? here + cells : here;
      const look = new Uint32Array(256), each = 1 - Math.pow(1 - Math.min(0.98, this.opacity / 100), (24 * stride) / n[k]), edge = 2.55 * this.above, first = Math.round((this.cut / 100) * nx);
      for (let c = 0; c < 256; c++) {
        const alpha = c <= edge ? 0 : each * (0.35 + 0.65 * (c - edge) / (255 - edge));
        look[c] = (Math.round(255 * alpha) << 24) | (this.colours[3 * c + 2] << 16) | (this.colours[3 * c + 1] << 8) | this.colours[3 * c];
      }
      const picture = new ImageData(n[u], n[v]), pixels = new Uint32Array(picture.data.buffer), a = this.values, w = Math.round(256 * part), w0 = 256 - w;
      this.slices.length = n[k];
      for (let s = 0; s < n[k]; s += stride) {
        const from = u === 0 ? first : k === 0 && s < first ? n[u] : 0;
        pixels.fill(0);
        for (let j = 0; j < n[v]; j++) {
          for (let i = from, o = s * step[k] + j * step[v] + from * step[u]; i < n[u]; i++, o += step[u]) pixels[j * n[u] + i] = look[(a[here + o] * w0 + a[next + o] * w) >> 8];
        }
        let one = this.slices[s];
        if (!one || one.width !== n[u] || one.height !== n[v]) one = this.slices[s] = new OffscreenCanvas(n[u], n[v]);
        one.getContext("2d").putImageData(picture, 0, 0);
      }
    },
    stack(g, { k, stride, put, near, size, scale, ratio, dark }) {
      const n = this.data.shape.slice(1), [u, v] = [0, 1, 2].filter((i) => i !== k), count = n[k], pieces = this.pieces(k, count, size);
      for (let q = 0; q < count; q++) {
        const s = near[k] > 0 ? q : count - 1 - q, origin = [0, 0, 0];
        if (pieces[s]) this.tubes(g, pieces[s], put, scale, ratio, dark);
        if (s % stride) continue;
        origin[k] = ((s + 0.5) / count) * size[k];
        const a = [...origin], b = [...origin];
        a[u] = size[u]; b[v] = size[v];
        const [x0, y0] = put(origin), [x1, y1] = put(a), [x2, y2] = put(b);
        g.setTransform(((x1 - x0) / n[u]) * ratio, ((y1 - y0) / n[u]) * ratio, ((x2 - x0) / n[v]) * ratio, ((y2 - y0) / n[v]) * ratio, x0 * ratio, y0 * ratio);
        g.imageSmoothingEnabled = !this.coarse;
        g.drawImage(this.slices[s], 0, 0);
      }
    },
    // pieces of the vessels by the slice that they lie in; cut once for each axis
    pieces(k, count, size) {
      const vessels = this.data.vessels;
      if (!vessels) return [];
      if (this.sorted?.k === k) return this.sorted.found;
      const found = [];
      vessels.ends_um.forEach((e, i) => {
        const parts = Math.max(1, Math.ceil((Math.abs(e[k + 3] - e[k]) / size[k]) * count));
        for (let p = 0; p < parts; p++) {
          const [from, to] = [p / parts, (p + 1) / parts].map((f) => [0, 1, 2].map((d) => e[d] + f * (e[d + 3] - e[d])));
          const s = Math.min(count - 1, Math.max(0, Math.floor(((from[k] + to[k]) / 2 / size[k]) * count)));
          (found[s] ??= []).push([from, to, i]);
        }
      });
      this.sorted = { k, found };
      return found;
    },
    tubes(g, pieces, put, scale, ratio, dark) {
      const [frame, part] = this.moment(), count = this.data.vessels.radius_um.length, next = this.data.shape[0] > 1 ? count : 0;
      g.setTransform(ratio, 0, 0, ratio, 0, 0);
      for (const rim of [true, false]) {
        g.lineCap = rim ? "butt" : "round"; // the rim of a piece must not cut across its neighbour
        for (const [from, to, i] of pieces) {
          const c = 3 * Math.round(this.blood[frame * count + i] * (1 - part) + this.blood[frame * count + i + next] * part);
          g.strokeStyle = rim ? (dark ? "#f4f6f8" : "#1a1d21") : `rgb(${this.colours[c]},${this.colours[c + 1]},${this.colours[c + 2]})`;
          g.lineWidth = Math.max(2, 2 * this.data.vessels.radius_um[i] * scale) + (rim ? 1.6 : 0);
          g.beginPath(); g.moveTo(...put(from)); g.lineTo(...put(to)); g.stroke();
        }
      }
    },
    box(g, put, near, size, line, front) {
      const corners = [...Array(8).keys()].map((c) => [c & 4 ? size[0] : 0, c & 2 ? size[1] : 0, c & 1 ? size[2] : 0]);
      const depth = corners.map((p) => p.reduce((sum, v, i) => sum + near[i] * v, 0)), far = depth.indexOf(Math.min(...depth));
      g.strokeStyle = line; g.lineWidth = front ? 1.1 : 0.7;
      for (const [a, b] of EDGES) {
        if ((a === far || b === far) === front) continue;
        g.beginPath(); g.moveTo(...put(corners[a])); g.lineTo(...put(corners[b])); g.stroke();
      }
    },
    words(g, put, size, ink, line) {
      g.font = "11px system-ui, sans-serif"; g.fillStyle = ink; g.textAlign = "center"; g.strokeStyle = line; g.lineWidth = 0.7;
      const mark = (text, p, out) => { const [x, y] = put(p), [X, Y] = put(p.map((v, i) => v + out[i])); g.fillText(text, X, Y + 4); return [x, y]; };
      const pad = 0.09 * Math.max(...size), front = this.axes()[2], y = front[1] > 0 ? size[1] : 0, out = front[1] > 0 ? pad : -pad;
      if (this.data.stretched) {
        this.data.planes.forEach((plane, i) => {
          const end = this.data.planes[i + 1]?.at ?? 1, x = plane.at * size[0];
          if (end - plane.at > 0.09) mark(plane.name, [((plane.at + end) / 2) * size[0], y, 0], [0, out, -pad * (1 + (i % 2))]);
          g.beginPath(); g.moveTo(...put([x, y, 0])); g.lineTo(...put([x, y, size[2]])); g.stroke();
        });
      } else mark(`x ${size[0].toFixed(0)} µm`, [size[0] / 2, y, 0], [0, out, -pad]);
      const x = front[0] > 0 ? size[0] : 0, side = front[0] > 0 ? pad : -pad;
      mark(`y ${size[1].toFixed(0)} µm`, [x, size[1] / 2, 0], [side, 0, -pad]);
      mark(`z ${size[2].toFixed(0)} µm`, [x, size[1] - y, size[2] / 2], [side, -out, 0]);
    },
    bar(g, width, height, ink) {
      const x = width - 78, top = 34, long = height - 68, decades = Math.log10(this.data.high / this.data.low);
      for (let i = 0; i < long; i++) {
        const share = 1 - i / (long - 1), k = 3 * Math.round(255 * share);
        g.globalAlpha = share * 100 < this.above ? 0.25 : 1;
        g.fillStyle = `rgb(${this.colours[k]},${this.colours[k + 1]},${this.colours[k + 2]})`;
        g.fillRect(x, top + i, 14, 1.5);
      }
      g.globalAlpha = 1; g.fillStyle = ink; g.textAlign = "left"; g.font = "11px system-ui, sans-serif";
      g.fillText(`free [${this.data.unit}]`, x - 14, top - 12);
      for (let d = Math.ceil(Math.log10(this.data.low) - 1e-9); d <= Math.log10(this.data.high) + 1e-9; d += decades > 5 ? 2 : 1) {
        const y = top + long * (1 - (d - Math.log10(this.data.low)) / decades);
        g.fillText(d >= -3 && d <= 3 ? String(+Math.pow(10, d).toPrecision(1)) : `1e${d}`, x + 20, y + 4);
      }
    },
  },
};
