// Show a map and its uncertainty over the anatomy, in three planes with one cross-hair for both.
const PLANES = [[0, 1, 2], [0, 2, 1], [1, 2, 0]];
const WORDS = ["right", "anterior", "superior"];

function bytes(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
}

export default {
  template: `
    <div class="krogh-brain">
      <p v-if="error" role="alert">{{ error }}</p>
      <p v-else-if="!ready" aria-busy="true">Loading the maps ...</p>
      <div v-show="ready" class="krogh-brains">
        <figure v-for="(map, i) in maps" :key="map.name">
          <canvas :ref="'canvas' + i" tabindex="0" role="application" :data-testid="'brain' + i"
            :aria-label="map.title + ': three planes; arrow keys move the cross-hair, page up and down change the slice'"
            @pointerdown="press($event, i)" @pointermove="drag($event, i)" @keydown="key($event)" @wheel.prevent="wheel($event, i)"></canvas>
          <figcaption>
            <strong>{{ map.title }}</strong> <span>{{ under(map) }}</span>
            <div class="krogh-bar" :style="{ background: bar(map) }" aria-hidden="true"></div>
            <div style="display:flex;justify-content:space-between"><span>{{ number(map.low) }}</span><span>{{ map.unit ? '[' + map.unit + ']' : 'dimensionless' }}</span><span>{{ number(map.high) }}</span></div>
          </figcaption>
        </figure>
      </div>
      <div v-show="ready" class="krogh-player">
        <label :for="name + 'o'">opacity of the map</label>
        <input :id="name + 'o'" type="range" min="0" max="100" v-model.number="opacity" @input="draw" data-testid="opacity">
        <label :for="name + 'z'">slice</label>
        <input :id="name + 'z'" type="range" min="0" :max="shape[2] - 1" v-model.number="cross[2]" @input="move" data-testid="slice">
        <output data-testid="where">{{ cross.map((v, i) => v + 1).join(", ") }} of {{ shape.join(" × ") }}</output>
      </div>
    </div>`,
  props: { sources: Array, anatomy: String, name: String },
  data: () => ({ maps: [], ready: false, error: "", opacity: 85, cross: [0, 0, 0], shape: [1, 1, 1] }),
  watch: { sources() { this.load(); } },
  mounted() {
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.$el);
    this.load();
  },
  unmounted() { this.observer.disconnect(); },
  methods: {
    async get(address) {
      const answer = await fetch(address);
      if (!answer.ok) throw new Error(await answer.text());
      const map = await answer.json();
      this.store.set(map.name, { values: new Float32Array(bytes(map.values)), colours: new Uint8Array(bytes(map.colours)), index: map.index ? new Uint32Array(bytes(map.index)) : null });
      const { values, colours, index, ...rest } = map;
      return rest;
    },
    async load() {
      this.error = "";
      const first = !this.ready;
      try {
        this.store = new Map();
        const under = await this.get(this.anatomy), maps = [];
        for (const source of this.sources) maps.push(await this.get(source));
        this.under_ = under;
        this.shape = under.shape;
        if (first) this.cross = this.start(this.store.get(maps[0].name).values);
        this.maps = maps;
        this.ready = true;
        this.$nextTick(() => { this.draw(); if (first) this.tell(); });
      } catch (problem) { this.error = `The maps cannot be shown: ${problem.message}`; }
    },
    start(values) {
      const [a, b, c] = this.shape, counts = new Array(c).fill(0);
      for (let i = 0; i < values.length; i++) if (Number.isFinite(values[i])) counts[Math.floor(i / (a * b))]++;
      return [a >> 1, b >> 1, counts.indexOf(Math.max(...counts))];
    },
    at(values, p) { return values[p[0] + this.shape[0] * (p[1] + this.shape[1] * p[2])]; },
    number(v) { return Math.abs(v) >= 1e4 ? v.toExponential(1) : String(+v.toPrecision(3)); },
    under(map) {
      const v = this.at(this.store.get(map.name).values, this.cross);
      return Number.isFinite(v) ? `${this.number(v)} ${map.unit} under the cross-hair` : "no value under the cross-hair";
    },
    bar(map) {
      const c = this.store.get(map.name).colours, stops = [0, 51, 102, 153, 204, 255].map((k) => `rgb(${c[3 * k]},${c[3 * k + 1]},${c[3 * k + 2]})`);
      return `linear-gradient(90deg, ${stops.join(",")})`;
    },
    boxes(width, height) {
      const mm = this.shape.map((n, i) => n * this.under_.edges_mm[i]), scale = Math.min(width / (mm[0] + mm[1]), height / (mm[1] + mm[2]));
      const [x, y, z] = mm.map((v) => v * scale), left = (width - x - y) / 2, top = (height - y - z) / 2;
      return [[left, top + z, x, y], [left, top, x, z], [left + x, top, y, z]];
    },
    draw() {
      if (!this.ready) return;
      this.maps.forEach((map, i) => { const canvas = this.$refs["canvas" + i]?.[0] ?? this.$refs["canvas" + i]; if (canvas) this.paint(canvas, map); });
    },
    paint(canvas, map) {
      const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
      if (!width) return;
      canvas.width = width * ratio; canvas.height = height * ratio;
      const g = canvas.getContext("2d");
      g.scale(ratio, ratio); g.imageSmoothingEnabled = false;
      g.fillStyle = "#000"; g.fillRect(0, 0, width, height);
      this.boxes(width, height).forEach((box, k) => this.plane(g, box, PLANES[k], map));
    },
    plane(g, [left, top, w, h], [u, v, fixed], map) {
      const nu = this.shape[u], nv = this.shape[v], picture = new ImageData(nu, nv), p = [...this.cross];
      const below = this.store.get(this.under_.name), above = this.store.get(map.name), alpha = this.opacity / 100;
      for (let j = 0; j < nv; j++) {
        for (let i = 0; i < nu; i++) {
          p[u] = i; p[v] = nv - 1 - j; p[fixed] = this.cross[fixed];
          const a = this.at(below.values, p), b = this.at(above.values, p), k = 4 * (j * nu + i);
          const grey = Number.isFinite(a) ? 230 * Math.min(1, Math.max(0, (a - this.under_.low) / (this.under_.high - this.under_.low))) : 0;
          let rgb = [grey, grey, grey];
          if (Number.isFinite(b)) {
            const c = 3 * Math.round(255 * Math.min(1, Math.max(0, (b - map.low) / (map.high - map.low))));
            rgb = rgb.map((v0, q) => v0 * (1 - alpha) + above.colours[c + q] * alpha);
          }
          picture.data.set([...rgb, 255], k);
        }
      }
      const small = new OffscreenCanvas(nu, nv);
      small.getContext("2d").putImageData(picture, 0, 0);
      g.drawImage(small, left, top, w, h);
      g.strokeStyle = "#ffffff"; g.lineWidth = 1; g.globalAlpha = 0.85;
      const x = left + ((this.cross[u] + 0.5) / nu) * w, y = top + (1 - (this.cross[v] + 0.5) / nv) * h;
      g.beginPath(); g.moveTo(x, top); g.lineTo(x, top + h); g.moveTo(left, y); g.lineTo(left + w, y); g.stroke();
      g.globalAlpha = 1; g.fillStyle = "#fff"; g.font = "10px system-ui, sans-serif"; g.textAlign = "left";
      g.fillText(`${WORDS[u]} →  ${WORDS[v]} ↑`, left + 4, top + 12);
    },
    find(event, i) {
      const canvas = event.currentTarget, box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
      const k = this.boxes(box.width, box.height).findIndex(([l, t, w, h]) => x >= l && x < l + w && y >= t && y < t + h);
      return { k, x, y, box: k < 0 ? null : this.boxes(box.width, box.height)[k] };
    },
    press(event, i) {
      const { k, x, y, box } = this.find(event, i);
      if (k < 0) return;
      const [u, v] = PLANES[k], limit = (value, n) => Math.min(n - 1, Math.max(0, Math.floor(value)));
      const next = [...this.cross];
      next[u] = limit(((x - box[0]) / box[2]) * this.shape[u], this.shape[u]);
      next[v] = limit((1 - (y - box[1]) / box[3]) * this.shape[v], this.shape[v]);
      this.cross = next;
      this.move();
    },
    drag(event, i) { if (event.buttons & 1) this.press(event, i); },
    wheel(event, i) {
      const { k } = this.find(event, i);
      if (k >= 0) this.shift(PLANES[k][2], event.deltaY < 0 ? 1 : -1);
    },
    key(event) {
      const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowDown: [1, -1], ArrowUp: [1, 1], PageDown: [2, -1], PageUp: [2, 1] }[event.key];
      if (step) { event.preventDefault(); this.shift(...step); }
    },
    shift(axis, by) {
      const next = [...this.cross];
      next[axis] = Math.min(this.shape[axis] - 1, Math.max(0, next[axis] + by));
      this.cross = next;
      this.move();
    },
    move() {
      this.draw();
      clearTimeout(this.timer);
      this.timer = setTimeout(this.tell, 120);
    },
    tell() {
      const p = this.cross, index = this.store.get(this.under_.name).index;
      if (index) this.$emit("voxel", index[p[0] + this.shape[0] * (p[1] + this.shape[1] * p[2])]);
    },
  },
};
