// A table that is sorted by its headings, searched and paged in the browser; a name opens its molecule. Every cell is text.
const PAGE = 25;

export default {
  template: `
    <div class="krogh-ranked">
      <p v-if="error" role="alert">{{ error }}</p>
      <p v-else-if="!columns.length" aria-busy="true">Loading the table ...</p>
      <div v-else>
        <div class="krogh-player">
          <label :for="name + 'f'">find</label>
          <input :id="name + 'f'" type="search" v-model="wanted" @input="page = 0" data-testid="find">
          <output data-testid="found">{{ shown.length }} of {{ rows.length }}</output>
        </div>
        <div class="krogh-scroll" tabindex="0" role="region" aria-label="ranked molecules">
          <table class="krogh-table" data-testid="ranked">
            <thead><tr>
              <th v-for="(c, i) in columns" :key="i" scope="col" :aria-sort="i === by ? (down ? 'descending' : 'ascending') : null">
                <button type="button" @click="sort(i)">{{ c.title }} <span aria-hidden="true">{{ i === by ? (down ? '▼' : '▲') : '' }}</span></button>
              </th>
            </tr></thead>
            <tbody>
              <tr v-for="row in shown.slice(page * 25, page * 25 + 25)" :key="row[0]">
                <td v-for="(c, i) in columns" :key="i" :class="{ n: c.number }">
                  <button v-if="c.title === 'name'" type="button" class="krogh-name" @click="$emit('molecule', row[0])" data-testid="molecule">{{ row[i + 1] || 'no name' }}</button>
                  <template v-else>{{ text(row[i + 1], c) }}</template>
                </td>
              </tr>
            </tbody>
          </table>
        </div>
        <div v-if="pages > 1" class="krogh-player">
          <button type="button" @click="page--" :disabled="page === 0" aria-label="earlier rows">‹</button>
          <output>{{ page * 25 + 1 }} to {{ Math.min(shown.length, page * 25 + 25) }}</output>
          <button type="button" @click="page++" :disabled="page >= pages - 1" aria-label="later rows" data-testid="later">›</button>
        </div>
      </div>
    </div>`,
  props: { source: String, name: String },
  data: () => ({ columns: [], rows: [], error: "", wanted: "", by: 0, down: false, page: 0 }),
  computed: {
    shown() {
      const wanted = this.wanted.toLowerCase(), i = this.by + 1, way = this.down ? -1 : 1;
      const some = wanted ? this.rows.filter((r) => r.some((v, k) => k && typeof v === "string" && v.toLowerCase().includes(wanted))) : [...this.rows];
      const rank = (v) => (v === null || v === undefined || v === "" ? 1 : 0); // what is not known comes last, whichever way
      return some.sort((a, b) => rank(a[i]) - rank(b[i]) || way * (a[i] < b[i] ? -1 : a[i] > b[i] ? 1 : 0) || a[1] - b[1]);
    },
    pages() { return Math.ceil(this.shown.length / PAGE); },
  },
  async mounted() {
    try {
      const answer = await fetch(this.source);
      if (!answer.ok) throw new Error(await answer.text());
      const { columns, rows } = await answer.json();
      this.rows = rows;
      this.columns = columns;
    } catch (problem) { this.error = `The table cannot be shown: ${problem.message}`; }
  },
  methods: {
    sort(i) {
      this.down = i === this.by ? !this.down : false;
      this.by = i;
      this.page = 0;
    },
    text(value, column) {
      if (value === null || value === undefined || value === "") return "–";
      return column.number ? (Math.abs(value) >= 1e5 || (value && Math.abs(value) < 1e-2) ? value.toExponential(1) : String(+value.toPrecision(3))) : value;
    },
  },
};
