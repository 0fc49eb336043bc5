// Play the concentrations of one compound through the layers, from lumen to neuron. All data come in one file; nothing is asked again.
function bytes(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

function duration(s) {
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"], [1e-3, "ms"]];
  const [size, name] = units.find(([u]) => s >= 0.995 * u && !(u === 86400 && s < 5 * u)) ?? units[4];
  const value = s / size;
  return `${value >= 9.95 ? value.toFixed(0) : value.toFixed(1)} ${name}`;
}

export default {
  template: `
    <div class="krogh-section">
      <p v-if="error" role="alert">{{ error }}</p>
      <p v-else-if="!data" aria-busy="true">Loading the section ...</p>
      <div v-show="data">
        <canvas ref="canvas" role="img" :aria-label="label" data-testid="section"></canvas>
        <div class="krogh-player">
          <button type="button" @click="toggle" :aria-label="playing ? 'Pause' : 'Play'" data-testid="play">{{ playing ? "❚❚" : "▶" }}</button>
          <label :for="name + 't'">time</label>
          <input :id="name + 't'" type="range" min="0" max="1000" step="1" v-model.number="place" @input="draw" :aria-valuetext="clock" data-testid="time">
          <output aria-live="off" data-testid="clock">{{ clock }}</output>
          <label><input type="checkbox" v-model="logTime" @change="draw"> log time</label>
          <template v-if="slices > 1">
            <label :for="name + 's'">{{ data.slices.name }}</label>
            <input :id="name + 's'" type="range" min="0" :max="slices - 1" step="1" v-model.number="slice" @input="draw" data-testid="slice">
            <output>{{ data.slices.places_um[slice].toFixed(1) }} µm</output>
          </template>
        </div>
      </div>
    </div>`,
  props: { source: String, name: String },
  data: () => ({ data: null, error: "", place: 0, slice: 0, playing: false, logTime: true, slices: 1, width: 0, frames: 0 }),
  computed: {
    time() {
      if (!this.data) return 0;
      const t = this.data.times, end = t[t.length - 1], first = Math.max(t.find((v) => v > 0) ?? 1e-3, Math.min(0.1, end / 1e3)), s = this.place / 1000;
      return s === 0 ? t[0] : this.logTime ? first * Math.pow(end / first, s) : s * end;
    },
    clock() { return duration(this.time); },
    label() { return this.data ? `${this.data.title}: free concentration from lumen to neuron after ${this.clock}` : "section"; },
  },
  watch: { source() { this.load(); } },
  mounted() {
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.$el);
    this.theme = new MutationObserver(() => this.draw());
    this.theme.observe(document.body, { attributes: true, attributeFilter: ["class"] });
    this.load();
  },
  unmounted() { this.playing = false; this.observer.disconnect(); this.theme.disconnect(); },
  methods: {
    async load() {
      this.data = null; this.error = "";
      try {
        const answer = await fetch(this.source);
        if (!answer.ok) throw new Error(await answer.text());
        const data = await answer.json();
        const raw = bytes(data.values);
        this.values = new Uint16Array(raw.buffer, 0, raw.length / 2);
        this.colours = bytes(data.colours);
        this.slices = data.shape[1];
        this.slice = Math.floor(this.slices / 2);
        this.data = data;
        this.place = this.logTime ? 600 : 100;
        this.$nextTick(this.draw);
      } catch (problem) { this.error = `The section cannot be shown: ${problem.message}`; }
    },
    toggle() {
      this.playing = !this.playing;
      if (this.playing && this.place >= 1000) this.place = 0;
      if (this.playing) this.step(performance.now());
    },
    step(now) {
      if (!this.playing) return;
      const passed = Math.min(now - (this.last ?? now), 100);
      this.last = now;
      this.place = Math.min(1000, this.place + passed * 0.1);
      this.draw();
      if (this.place >= 1000) { this.playing = false; this.last = undefined; } else requestAnimationFrame(this.step);
    },
    // share of the colour bar [0..1] in row r, column c at the present time, straight between two stored times
    at(frame, part, r, c) {
      const [, s, n, m] = this.data.shape, here = ((frame * s + this.slice) * n + r) * m + c;
      return (this.values[here] * (1 - part) + this.values[here + s * n * m] * part) / 65535;
    },
    draw() {
      const data = this.data, canvas = this.$refs.canvas;
      if (!data || !canvas || !this.$el.clientWidth) return;
      const ratio = window.devicePixelRatio || 1, width = this.$el.clientWidth, rows = data.shape[2];
      const narrow = width < 640, strip = rows > 1 ? 190 : 96, head = narrow ? 92 : 58, plot = 170, foot = 34, left = 62, right = 74, gap = 14;
      const height = head + strip + gap + plot + foot;
      if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
        canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
        canvas.style.width = `${width}px`; canvas.style.height = `${height}px`;
      }
      const dark = document.body.classList.contains("body--dark"), g = canvas.getContext("2d");
      const ink = dark ? "#e8eaed" : "#1a1d21", soft = dark ? "#a9b0b8" : "#555b63", line = dark ? "#4a5058" : "#c8cdd3";
      g.setTransform(ratio, 0, 0, ratio, 0, 0);
      g.clearRect(0, 0, width, height);
      const t = data.times, now = this.time;
      let frame = 0;
      while (frame < t.length - 2 && t[frame + 1] <= now) frame++;
      const part = t.length > 1 ? Math.min(1, Math.max(0, (now - t[frame]) / (t[frame + 1] - t[frame]))) : 0;
      const total = data.bands[data.bands.length - 1].edges.at(-1), x = (e) => left + (e / total) * (width - left - right);
      const top = head + strip + gap, y = (share) => top + plot * (1 - share);
      let column = 0;
      const curve = [];
      for (const band of data.bands) {
        for (let c = 0; c + 1 < band.edges.length; c++, column++) {
          const from = x(band.edges[c]), to = x(band.edges[c + 1]);
          let mean = 0;
          for (let r = 0; r < rows; r++) {
            const share = this.at(frame, part, r, column), k = 3 * Math.round(255 * share);
            mean += share / rows;
            g.fillStyle = `rgb(${this.colours[k]},${this.colours[k + 1]},${this.colours[k + 2]})`;
            g.fillRect(from, head + (r * strip) / rows, to - from + 0.6, strip / rows + 0.6);
          }
          curve.push([band, from, to, mean]);
        }
      }
      g.strokeStyle = line; g.lineWidth = 1; g.textAlign = "center"; g.fillStyle = ink;
      data.bands.forEach((band, i) => {
        const a = x(band.edges[0]), b = x(band.edges.at(-1));
        g.strokeRect(a, head, b - a, strip);
        g.font = "600 11px system-ui, sans-serif"; g.fillStyle = ink;
        if (narrow) {
          g.save(); g.translate((a + b) / 2 + 3, head - 5); g.rotate(-Math.PI / 3); g.textAlign = "left";
          g.fillText(band.name, 0, 0, 92); g.restore();
        } else {
          const words = b - a < 76 ? band.name.split(" ") : [band.name];
          words.forEach((word, k) => g.fillText(word, (a + b) / 2, head - 20 - 12 * (words.length - 1 - k), b - a));
          g.font = "10px system-ui, sans-serif"; g.fillStyle = soft;
          g.fillText(band.size, (a + b) / 2, head - 6, b - a);
        }
        g.beginPath(); g.moveTo(b, top); g.lineTo(b, top + plot); g.stroke();
      });
      g.strokeRect(left, top, width - left - right, plot);
      g.textAlign = "right"; g.font = "11px system-ui, sans-serif";
      const decades = Math.log10(data.high / data.low);
      for (let d = Math.ceil(Math.log10(data.low) - 1e-9); d <= Math.log10(data.high) + 1e-9; d += decades > 5 ? 2 : 1) {
        const share = (d - Math.log10(data.low)) / decades, text = d >= -3 && d <= 3 ? String(+Math.pow(10, d).toPrecision(1)) : `1e${d}`;
        g.strokeStyle = line; g.beginPath(); g.moveTo(left - 4, y(share)); g.lineTo(width - right, y(share)); g.stroke();
        g.fillStyle = soft; g.fillText(text, left - 7, y(share) + 4);
        g.textAlign = "left"; g.fillText(text, width - right + 30, head + strip * (1 - share) + 4); g.textAlign = "right";
      }
      g.save(); g.translate(13, top + plot / 2); g.rotate(-Math.PI / 2); g.textAlign = "center"; g.fillStyle = ink;
      g.fillText(`free concentration [${data.unit}]`, 0, 0, plot + 30); g.restore();
      if (rows > 1) {
        g.save(); g.translate(13, head + strip / 2); g.rotate(-Math.PI / 2); g.textAlign = "center"; g.fillStyle = ink;
        g.fillText(`${data.rows.name} [µm]`, 0, 0, strip + 20); g.restore();
        g.fillStyle = soft; g.textAlign = "right";
        g.fillText(data.rows.places_um[0].toFixed(0), left - 7, head + 10); g.fillText(data.rows.places_um.at(-1).toFixed(0), left - 7, head + strip);
      }
      for (let i = 0; i < strip; i++) {
        const k = 3 * Math.round(255 * (1 - i / (strip - 1)));
        g.fillStyle = `rgb(${this.colours[k]},${this.colours[k + 1]},${this.colours[k + 2]})`;
        g.fillRect(width - right + 12, head + i, 14, 1.5);
      }
      g.fillStyle = ink; g.textAlign = "left"; g.fillText(`[${data.unit}]`, width - right + 12, head - 8);
      g.lineWidth = 2.2; g.strokeStyle = dark ? "#f0a860" : "#b84a00";
      let open = null;
      g.beginPath();
      for (const [band, from, to, share] of curve) {
        if (band !== open) { g.moveTo(from, y(share)); open = band; }
        g.lineTo((from + to) / 2, y(share)); g.lineTo(to, y(share));
      }
      g.stroke();
      g.fillStyle = soft; g.textAlign = "center"; g.font = "11px system-ui, sans-serif";
      const deep = data.bands.filter((b) => b.depth_um);
      g.fillText(`${+deep[0].depth_um[0].toPrecision(3)}`, x(deep[0].edges[0]), top + plot + 14);
      deep.filter((band) => !narrow || band === deep.at(-1)).forEach((band) => g.fillText(`${+band.depth_um[1].toPrecision(3)}`, x(band.edges.at(-1)), top + plot + 14));
      g.fillStyle = ink; g.fillText(narrow ? "depth [µm], every layer stretched" : "depth from the luminal face [µm]; every layer is stretched to its own band", (left + width - right) / 2, top + plot + 30, width - left);
      this.frames++;
    },
  },
};
