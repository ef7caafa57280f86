// The table of runs: only the rows in sight are in the page. Sorted by any column, filtered by words and comparisons.
const kRowHeight = 32;
const table = {columns: [], order: [], sort: null, descending: false};

function textColumn(field, label) {
  return {key: field, label, text: true, value: (run) => nameOf(run, field)};
}
function numberColumn(measure, short) {
  return {
    key: measure.key, label: short || measure.title, value: (run) => valueOf(run, measure),
    show: (run) => {
      const value = valueOf(run, measure);
      if (value === null) return '';
      const interval = intervalOf(run, measure);
      const number = measure.key === 'delta_nll' ? signed(value) : ['compression_ratio', 'evicted_share'].includes(measure.key) ? String(Number(value.toFixed(4))) : formatted(value);
      return interval && interval[0] !== interval[1] ? `${number} [${formatted(interval[0])}, ${formatted(interval[1])}]` : number;
    },
  };
}

/** What a filter may call a column. */
const aliases = {ratio: 'compression_ratio', evicted: 'evicted_share', kl: 'kl_full', delta: 'delta_nll', ppl: 'perplexity', top1: 'top1_agreement', bytes: 'cache_bytes', time: 'total_runtime_sec'};

function buildColumns() {
  const several = (field) => new Set(data.runs[field].slice(0, data.n_runs)).size > 1;
  table.columns.push(textColumn('press', 'press'));
  for (const field of ['dataset', 'protocol', 'model']) if (several(field)) table.columns.push(textColumn(field, field === 'dataset' ? 'data set' : field));
  const short = {evicted_share: 'evicted', kl_full: 'KL (nats)', delta_nll: 'delta NLL [95 %]', top1_agreement: 'top-1 agreement (%)', cache_bytes: 'cache (MiB)', total_runtime_sec: 'time (s)',
                 prefill_sec: 'prefill (s)', compress_sec: 'press (s)', score_sec: 'score (s)', cache_bytes_peak: 'peak cache (MiB)', peak_rss_bytes: 'resident (MiB)'};
  // The ratio that was asked for, and beside it what was evicted.
  table.columns.push(numberColumn({key: 'compression_ratio', title: 'ratio', scale: 1}));
  const evicted = data.costs.find((it) => it.key === 'evicted_share');
  for (const it of [evicted, ...data.quality, ...data.costs.filter((cost) => cost !== evicted)]) table.columns.push(numberColumn(it, short[it.key]));
}

/** A function run -> boolean from what was typed. */
function parsedFilter(text) {
  const tests = text.toLowerCase().split(/\s+/).filter(Boolean).map((word) => {
    const it = /^([^<>=]+)(<=|>=|<|>|=)(-?[\d.]+(?:e-?\d+)?)$/.exec(word);
    const key = it && (aliases[it[1]] || it[1]);
    const column = it && table.columns.find((one) => !one.text && (one.key.toLowerCase() === key || one.label.toLowerCase() === key));
    if (column) {
      const wanted = Number(it[3]);
      return (run) => {
        const value = column.value(run);
        if (value === null) return false;
        switch (it[2]) {
          case '<': return value < wanted;
          case '<=': return value <= wanted;
          case '>': return value > wanted;
          case '>=': return value >= wanted;
          default: return Math.abs(value - wanted) < 1e-9 * Math.max(1, Math.abs(wanted));
        }
      };
    }
    // Names repeat: each is looked at once.
    const matching = new Set(data.names.flatMap((name, i) => name.toLowerCase().includes(word) ? [i] : []));
    return (run) => ['press', 'dataset', 'model', 'protocol'].some((field) => matching.has(data.runs[field][run]));
  });
  return (run) => tests.every((test) => test(run));
}

function sortRuns() {
  const keep = parsedFilter(byId('filter').value);
  table.order = [];
  for (let run = 0; run < data.n_runs; ++run) if (keep(run)) table.order.push(run);
  const column = table.sort;
  if (column) {
    const values = new Map(table.order.map((run) => [run, column.value(run)]));
    const direction = table.descending ? -1 : 1;
    table.order.sort((a, b) => {
      const p = values.get(a), q = values.get(b);
      if (p === q) return a - b;
      if (p === null) return 1;  // what is missing stands last, either way
      if (q === null) return -1;
      return (p < q ? -1 : 1) * direction;
    });
  }
  byId('count').textContent = (table.order.length === data.n_runs ? '' : `${table.order.length} of `) + `${data.n_runs} run${data.n_runs === 1 ? '' : 's'}`;
  for (const {heading, column: its} of table.headings) {
    heading.setAttribute('aria-sort', its !== column ? 'none' : table.descending ? 'descending' : 'ascending');
  }
  table.first = -1;
  showRows();
}

function rowOf(run, at) {
  const row = element('tr', {class: at % 2 === 1 ? 'odd' : ''});
  table.columns.forEach((column, i) => {
    const cell = element('td', {class: (column.text ? 'text' : '') + (i === 0 ? ' first' : '')});
    if (i === 0) {
      const swatch = element('span', {class: 'swatch'});
      swatch.style.background = colorOf(styleOf(nameOf(run, 'press')));
      cell.append(swatch);
      cell.title = data.runs.folder[run] || column.value(run);
    }
    cell.append(column.show ? column.show(run) : column.value(run));
    row.append(cell);
  });
  return row;
}

function showRows() {
  const box = byId('table');
  const n = table.order.length;
  const from = Math.max(0, Math.min(n, Math.floor(box.scrollTop / kRowHeight) - 12));
  const to = Math.min(n, from + Math.ceil(box.clientHeight / kRowHeight) + 26);
  const first = from - from % 2;  // so that the stripes do not move
  if (first === table.first && to === table.last) return;
  table.first = first;
  table.last = to;
  const rows = [];
  for (let at = first; at < to; ++at) rows.push(rowOf(table.order[at], at));
  table.above.firstChild.style.height = `${first * kRowHeight}px`;
  table.below.firstChild.style.height = `${(n - to) * kRowHeight}px`;
  table.body.replaceChildren(table.above, ...rows, table.below);
}

/** As csv_cell() of the program: what a spreadsheet would take for a formula gets an apostrophe. */
function csvField(text) {
  const value = /^[=+\-@\t\r\n]/.test(text) && !/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(value) ? `"${value.replace(/"/g, '""')}"` : value;
}
function saveCsv() {
  const lines = [table.columns.map((it) => csvField(it.text ? it.key : it.label))];
  for (const run of table.order) lines.push(table.columns.map((it) => csvField(String(it.value(run) ?? ''))));
  const address = URL.createObjectURL(new Blob([lines.map((it) => it.join(',')).join('\n') + '\n'], {type: 'text/csv'}));
  element('a', {href: address, download: 'runs.csv'}).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

function startTable() {
  buildColumns();
  table.headings = table.columns.map((column, i) => {
    const heading = element('th', {scope: 'col', class: (column.text ? 'text' : '') + (i === 0 ? ' first' : '')});
    heading.append(element('button', {type: 'button', onclick: () => {
      // Numbers and names go up first; a third click takes the order of the folders again.
      if (table.sort !== column) { table.sort = column; table.descending = false; }
      else if (!table.descending) table.descending = true;
      else { table.sort = null; table.descending = false; }
      byId('table').scrollTop = 0;
      sortRuns();
    }}, column.label));
    return {heading, column};
  });
  const spacer = () => element('tr', {class: 'spacer'}, element('td', {colspan: String(table.columns.length)}));
  table.above = spacer();
  table.below = spacer();
  table.body = element('tbody');
  byId('table').append(element('table', {}, element('thead', {}, element('tr', {}, ...table.headings.map((it) => it.heading))), table.body));
  byId('table').addEventListener('scroll', showRows, {passive: true});
  let waiting = 0;
  byId('filter').addEventListener('input', () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { byId('table').scrollTop = 0; sortRuns(); }, 60);
  });
  byId('save-csv').addEventListener('click', saveCsv);
  new ResizeObserver(showRows).observe(byId('table'));
  theme.listeners.push(() => { table.first = -1; showRows(); });
  sortRuns();
}
