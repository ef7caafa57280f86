// Which tokens each head keeps: a row a head, a column a token, as far as the zoom shows them one by one.
const heatmap = {
  run: null, scroll: null, canvas: null, image: null, view: '', zoom: 1, cell: null,
  left: 40, top: 6, strip: 56, gap: 10, bottom: 44, rowHeight: 6,
};
const kMostWordsInSight = 700;

/** A run made ready: its bits as bytes, and how many heads keep each token, of the layers that count. */
function unpacked(run) {
  const bytes = Uint8Array.from(atob(run.rows), (it) => it.charCodeAt(0));
  const tokens = data.heatmaps.texts[run.text];
  const rows = run.n_layers * run.n_kv_heads, rowBytes = Math.ceil(tokens.length / 8);
  const counts = new Uint16Array(tokens.length);
  const keeps = (row, token) => bytes[row * rowBytes + (token >> 3)] >> (token & 7) & 1;
  const counted = (row) => run.counted.includes(Math.floor(row / run.n_kv_heads));
  for (let row = 0; row < rows; ++row) {
    if (counted(row)) for (let t = 0; t < tokens.length; ++t) counts[t] += keeps(row, t);
  }
  const heads = run.counted.length * run.n_kv_heads;
  return {...run, tokens, rows, heads, counts, keeps, counted, n: tokens.length};
}

/** White space made visible. */
const wordShown = (token) => token.replace(/\n/g, '\u21b5').replace(/\t/g, '\u2192').replace(/\r/g, '\u240d');

/** Pixels a token has where the whole text fits; the zoom goes from there to cells as wide as a finger. */
const widthOfMap = () => Math.max(40, heatmap.scroll.clientWidth - heatmap.left - 6);
const leastZoom = () => Math.min(12, widthOfMap() / heatmap.run.n);
const mostZoom = () => Math.max(16, leastZoom());
const zoomOf = (share) => leastZoom() * Math.pow(mostZoom() / leastZoom(), share);

/** The colour of a share of kept tokens, of the theme at hand: mixed from the two stops of the scale around it. */
function heatColors() {
  const stops = data.heatmaps.look.scale.map((it) => ({share: it.share, rgb: colorOf(it).match(/[0-9a-f]{2}/gi).map((hex) => parseInt(hex, 16))}));
  return (share) => {
    const above = Math.max(1, stops.findIndex((it) => it.share >= share)), from = stops[above - 1], to = stops[above];
    const part = (share - from.share) / (to.share - from.share);
    return `rgb(${from.rgb.map((it, i) => Math.round(it + part * (to.rgb[i] - it))).join(' ')})`;
  };
}

/** Columns in sight: each a stretch of tokens [from, to), at x, so wide. */
function columnsInSight() {
  const {run, zoom, scroll} = heatmap;
  const perColumn = Math.max(1, Math.ceil(1 / zoom - 1e-9)), width = zoom * perColumn;
  const first = Math.floor(scroll.scrollLeft / width);
  const columns = [];
  for (let c = first; c * perColumn < run.n; ++c) {
    const x = heatmap.left + c * width - scroll.scrollLeft;
    if (x > heatmap.left + widthOfMap()) break;
    const from = c * perColumn;
    columns.push({from, to: Math.min(run.n, from + perColumn), x, width});
  }
  return columns;
}

function sizeHeatmap() {
  const {run, scroll, canvas} = heatmap;
  heatmap.rowHeight = Math.max(3, Math.min(16, Math.floor(380 / run.rows)));
  heatmap.height = heatmap.top + run.rows * heatmap.rowHeight + heatmap.gap + heatmap.strip + heatmap.bottom;
  canvas.style.height = `${heatmap.height}px`;
  canvas.style.width = `${scroll.clientWidth}px`;
  scroll.firstElementChild.style.width = `${Math.max(scroll.clientWidth, Math.ceil(heatmap.left + run.n * heatmap.zoom + 6))}px`;
  scroll.firstElementChild.style.height = `${heatmap.height}px`;
}

function drawHeatmap() {
  const {run, canvas, scroll} = heatmap;
  if (!run || scroll.clientWidth === 0) return;
  const ratio = window.devicePixelRatio || 1;
  const width = scroll.clientWidth, height = heatmap.height;
  const view = [run.name, heatmap.zoom, scroll.scrollLeft, width, height, ratio, isDark()].join();
  if (heatmap.view !== view) {
    heatmap.view = view;
    heatmap.image.width = Math.round(width * ratio);
    heatmap.image.height = Math.round(height * ratio);
    const context = heatmap.image.getContext('2d');
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const columns = columnsInSight();
    drawMap(context, columns, width, height, ratio);
    drawHeatmapAxes(context, columns, width);
    showWordsInSight(columns);
  }
  canvas.width = heatmap.image.width;
  canvas.height = heatmap.image.height;
  const context = canvas.getContext('2d');
  context.drawImage(heatmap.image, 0, 0);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  ringCell(context);
}

function drawMap(context, columns, width, height, ratio) {
  const {run, left, top, rowHeight, strip, gap} = heatmap;
  const color = heatColors();
  const stripTop = top + run.rows * rowHeight + gap;
  context.save();
  context.beginPath();
  context.rect(left, 0, width - left, height);
  context.clip();
  for (const {from, to, x, width: w} of columns) {
    const drawn = w > 4 ? w - 1 : Math.ceil(w * ratio) / ratio;
    for (let row = 0; row < run.rows; ++row) {
      let kept = 0;
      for (let t = from; t < to; ++t) kept += run.keeps(row, t);
      context.fillStyle = color(kept / (to - from));
      context.fillRect(x, top + row * rowHeight, drawn, rowHeight > 4 ? rowHeight - 1 : rowHeight);
    }
    let sum = 0;
    for (let t = from; t < to; ++t) sum += run.counts[t];
    const share = sum / (to - from) / run.heads;
    context.fillStyle = color(0);
    context.fillRect(x, stripTop, drawn, strip);
    context.fillStyle = color(1);
    context.fillRect(x, stripTop + strip * (1 - share), drawn, strip * share);
  }
  context.restore();
}

function drawHeatmapAxes(context, columns, width) {
  const {run, left, top, rowHeight, strip, gap, zoom, scroll} = heatmap;
  const mapHeight = run.rows * rowHeight, stripTop = top + mapHeight + gap;
  context.fillStyle = cssColor('--muted');
  context.strokeStyle = cssColor('--card');
  context.font = '11px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif';
  context.textAlign = 'right';
  context.textBaseline = 'middle';
  const layerHeight = run.n_kv_heads * rowHeight;
  const every = Math.ceil(14 / layerHeight);
  for (let l = 0; l < run.n_layers; ++l) {
    const y = top + l * layerHeight;
    if (l > 0 && layerHeight >= 8) {
      context.lineWidth = 2;
      context.beginPath(); context.moveTo(left, y - 0.5); context.lineTo(width, y - 0.5); context.stroke();
    }
    if (l % every === 0) context.fillText(run.layers[l], left - 6, y + layerHeight / 2);
  }
  context.fillText('100', left - 6, stripTop + 5);
  context.fillText('0', left - 6, stripTop + strip - 4);
  const upwards = (text, y) => {
    context.save();
    context.translate(7, y);
    context.rotate(-Math.PI / 2);
    context.textAlign = 'center';
    context.fillText(text, 0, 0);
    context.restore();
  };
  const {share_axis: shareAxis, position_axis: positionAxis} = data.heatmaps.look;
  const fits = context.measureText(run.layer_axis).width <= mapHeight;
  upwards(fits ? run.layer_axis : run.layer_axis.split(',')[0], top + mapHeight / 2);
  upwards(shareAxis, stripTop + strip / 2);
  // Places: about one every 90 pixels, at round numbers.
  const rough = 90 / zoom, power = Math.pow(10, Math.floor(Math.log10(rough)));
  const step = Math.max(1, [1, 2, 5, 10].map((it) => it * power).find((it) => it >= rough));
  context.textAlign = 'center';
  context.textBaseline = 'top';
  context.fillText(positionAxis, (left + width) / 2, stripTop + strip + 22);
  const begin = columns.length ? columns[0].from : 0;
  for (let t = Math.ceil(begin / step) * step; t < run.n; t += step) {
    const x = left + (t + (zoom >= 4 ? 0.5 : 0)) * zoom - scroll.scrollLeft;
    if (x > width - 8) break;
    if (x < left) continue;
    context.fillRect(Math.round(x), stripTop + strip, 1, 4);
    context.fillText(t.toLocaleString('en-US').replace(/,/g, '\u202f'), Math.max(x, left + 4), stripTop + strip + 6);
  }
}

function ringCell(context) {
  const {run, cell, left, top, rowHeight, zoom, scroll, strip, gap} = heatmap;
  if (!cell) return;
  const x = left + cell.from * zoom - scroll.scrollLeft;
  if (x < left - zoom || x > scroll.clientWidth) return;
  const w = Math.max(3, (cell.to - cell.from) * zoom);
  context.strokeStyle = cssColor('--text');
  context.lineWidth = 1.5;
  const bottom = top + run.rows * rowHeight + gap + strip;
  context.globalAlpha = 0.35;
  context.strokeRect(x - 1, top, w + 1, bottom - top);
  context.globalAlpha = 1;
  if (cell.row !== null) context.strokeRect(x - 1, top + cell.row * rowHeight - 1, w + 1, rowHeight + 1);
}

/** The column and row at a point of the canvas; row null on the strip. */
function cellAt(px, py) {
  const {run, left, top, rowHeight} = heatmap;
  const column = columnsInSight().find((it) => px >= it.x && px < it.x + it.width);
  if (!column || px < left) return null;
  const row = Math.floor((py - top) / rowHeight);
  if (row < 0) return null;
  return {from: column.from, to: column.to, row: row < run.rows ? row : null};
}

/** What a cell says: a title and lines of name and value. */
function tellCell({from, to, row}) {
  const {run} = heatmap;
  const whole = (it) => it.toLocaleString('en-US').replace(/,/g, '\u202f');
  const lines = [];
  if (row !== null) {
    lines.push(['layer', run.layers[Math.floor(row / run.n_kv_heads)]], ['head', String(row % run.n_kv_heads)]);
  }
  if (to - from === 1) {
    lines.push(['position', whole(from)]);
    if (row !== null) lines.push(['in this head', run.keeps(row, from) ? 'kept' : run.counted(row) ? 'evicted' : 'out of the window']);
    lines.push(['kept by', `${run.counts[from]} of ${run.heads} heads`]);
    return ['\u201c' + wordShown(run.tokens[from]) + '\u201d', lines];
  }
  let kept = 0, sum = 0;
  for (let t = from; t < to; ++t) {
    if (row !== null) kept += run.keeps(row, t);
    sum += run.counts[t];
  }
  lines.push(['positions', `${whole(from)} to ${whole(to - 1)}`]);
  if (row !== null) lines.push(['kept in this head', `${kept} of ${to - from}`]);
  lines.push(['mean over heads', `${(100 * sum / (to - from) / run.heads).toFixed(1)} %`]);
  return [`${to - from} tokens`, lines];
}

function hoverCell(cell, at) {
  heatmap.cell = cell;
  drawHeatmap();
  const line = byId('heatmap-cell');
  if (!cell) {
    line.textContent = '';
    hideTooltip();
    return;
  }
  const {run} = heatmap;
  const word = (from, to) => element('span', {}, wordShown(run.tokens.slice(Math.max(0, from), Math.max(0, to)).join('')));
  const marked = element('mark', {}, wordShown(run.tokens.slice(cell.from, cell.to).join('').slice(0, 200)));
  line.replaceChildren(word(cell.from - 8, cell.from), marked, word(cell.to, cell.to + 8));
  const [title, lines] = tellCell(cell);
  const box = heatmap.canvas.getBoundingClientRect();
  const x = heatmap.left + cell.from * heatmap.zoom - heatmap.scroll.scrollLeft;
  const y = heatmap.top + (cell.row === null ? heatmap.run.rows + 2 : cell.row) * heatmap.rowHeight;
  showTooltip(at ? at.x : box.left + x, at ? at.y : box.top + y, title, lines);
}

/** Scrolls so that a token is in sight, zoomed in until it is a column of its own. */
function showToken(token, row) {
  if (heatmap.zoom < 6) setZoom(8, token);
  const x = token * heatmap.zoom, {scroll} = heatmap;
  if (x < scroll.scrollLeft + 8 || x > scroll.scrollLeft + widthOfMap() - heatmap.zoom - 8) {
    scroll.scrollLeft = x - widthOfMap() / 2;
  }
  hoverCell({from: token, to: token + 1, row});
}

function setZoom(zoom, anchor) {
  const {scroll} = heatmap;
  const middle = anchor ?? (scroll.scrollLeft + widthOfMap() / 2) / heatmap.zoom;
  heatmap.zoom = Math.max(leastZoom(), Math.min(mostZoom(), zoom));
  const span = Math.log(mostZoom() / leastZoom());
  byId('heatmap-zoom').value = String(span > 0 ? Math.round(100 * Math.log(heatmap.zoom / leastZoom()) / span) : 0);
  sizeHeatmap();
  scroll.scrollLeft = middle * heatmap.zoom - widthOfMap() / 2;
  drawHeatmap();
}

function showWordsInSight(columns) {
  const {run} = heatmap;
  const from = columns.length ? columns[0].from : 0;
  const to = Math.min(columns.length ? columns[columns.length - 1].to : 0, from + kMostWordsInSight);
  const words = [], kept = heatColors()(1);
  for (let t = from; t < to; ++t) {
    const span = element('span', {'data-token': String(t)}, run.tokens[t]);
    span.style.backgroundColor = `color-mix(in srgb, ${kept} ${Math.round(70 * run.counts[t] / run.heads)}%, transparent)`;
    words.push(span);
  }
  if (to < run.n && columns.length && to < columns[columns.length - 1].to) words.push(element('span', {class: 'more'}, ' \u2026'));
  byId('heatmap-text').replaceChildren(...words);
}

function keyOnHeatmap(event) {
  const step = {ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1]}[event.key];
  if (event.key === 'Escape') hoverCell(null);
  if (!step) return;
  event.preventDefault();
  const {run, cell, zoom, scroll} = heatmap;
  if (!cell) {
    showToken(Math.min(run.n - 1, Math.ceil(scroll.scrollLeft / zoom)), 0);
    return;
  }
  const token = Math.max(0, Math.min(run.n - 1, cell.from + step[0]));
  showToken(token, Math.max(0, Math.min(run.rows - 1, (cell.row ?? run.rows) + step[1])));
}

function showRunOfHeatmap() {
  heatmap.run = unpacked(data.heatmaps.runs[Number(byId('heatmap-run').value)]);
  heatmap.cell = null;
  byId('heatmap-cell').textContent = '';
  const facts = [];
  for (const [name, value] of Object.entries(heatmap.run.facts)) facts.push(element('dt', {}, name), element('dd', {}, value));
  byId('heatmap-facts').replaceChildren(...facts);
  setZoom(zoomOf(Number(byId('heatmap-zoom').value) / 100));
}

function startHeatmaps() {
  if (data.heatmaps.runs.length === 0) return;
  byId('heatmaps').hidden = false;
  heatmap.scroll = byId('heatmap');
  heatmap.canvas = heatmap.scroll.querySelector('canvas');
  heatmap.image = document.createElement('canvas');
  data.heatmaps.runs.forEach((it, i) => byId('heatmap-run').append(element('option', {value: String(i)}, it.name)));
  byId('heatmap-run').addEventListener('change', showRunOfHeatmap);
  byId('heatmap-zoom').addEventListener('input', () => setZoom(zoomOf(Number(byId('heatmap-zoom').value) / 100)));
  byId('heatmap-fit').addEventListener('click', () => setZoom(0));
  heatmap.scroll.addEventListener('scroll', () => drawHeatmap(), {passive: true});
  heatmap.scroll.addEventListener('keydown', keyOnHeatmap);
  const point = (event) => {
    const box = heatmap.canvas.getBoundingClientRect();
    const cell = cellAt(event.clientX - box.left, event.clientY - box.top);
    if (cell || heatmap.cell) hoverCell(cell, {x: event.clientX, y: event.clientY});
  };
  heatmap.canvas.addEventListener('pointermove', point);
  heatmap.canvas.addEventListener('pointerdown', point);
  heatmap.canvas.addEventListener('pointerleave', (event) => { if (event.pointerType === 'mouse') hideTooltip(); });
  byId('heatmap-text').addEventListener('click', (event) => {
    const token = event.target.dataset.token;
    if (token === undefined) return;
    showToken(Number(token), heatmap.cell ? heatmap.cell.row : null);
    heatmap.scroll.scrollIntoView({block: 'nearest'});
  });
  new ResizeObserver(() => setZoom(byId('heatmap-zoom').value === '0' ? 0 : heatmap.zoom)).observe(heatmap.scroll);
  theme.listeners.push(drawHeatmap);
  showRunOfHeatmap();
}
