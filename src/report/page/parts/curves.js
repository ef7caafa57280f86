// The curves: one plot a panel, all with the same axes and the same presses hidden.
const curves = {hidden: new Set(), shown: 12, plots: new Map()};
const presses = data.presses.map((it) => it.name);
const entries = new Map(data.presses.map((it) => [it.name, it]));

const measureBy = (list, key) => list.find((it) => it.key === key) || list[0];
const xMeasure = () => measureBy(data.costs, byId('x-measure').value);
const yMeasure = () => measureBy(data.quality, byId('y-measure').value);
const styleOf = (press) => entries.get(press);

/** Marks the points that no other beats in both. */
function markFront(series, lowerX, lowerY) {
  const points = series.flatMap((it) => it.points);
  const x = (it) => lowerX ? it.x : -it.x, y = (it) => lowerY ? it.y : -it.y;
  points.sort((a, b) => x(a) - x(b) || y(a) - y(b));
  let last = null;
  for (const it of points) {
    it.front = last === null || y(it) < y(last) || (x(it) === x(last) && y(it) === y(last));
    if (it.front) last = it;
  }
}

function tellRun(run) {
  const lines = [['compression ratio asked for', String(Number(data.runs.ratio[run].toFixed(4)))]];
  for (const measure of [...data.costs.slice(0, 3), ...data.quality.slice(0, 6)]) {
    const value = valueOf(run, measure);
    if (value === null) continue;
    const interval = intervalOf(run, measure);
    const number = measure.key === 'delta_nll' ? signed(value) : formatted(value);
    const range = interval && interval[0] !== interval[1] ? ` [${formatted(interval[0])}, ${formatted(interval[1])}]` : '';
    lines.push([measure.label, number + (measure.unit ? ' ' + measure.unit : '') + range]);
  }
  return lines;
}

function specOf(panel) {
  const xOf = xMeasure(), yOf = yMeasure();
  const withIntervals = byId('intervals').checked;
  const series = [];
  for (const line of panel.lines) {
    if (curves.hidden.has(line.press)) continue;
    const points = [];
    for (const run of line.runs) {
      const x = valueOf(run, xOf), y = valueOf(run, yOf);
      if (x === null || y === null) continue;
      const interval = withIntervals ? intervalOf(run, yOf) : null;
      points.push({x, y, run, ...(interval ? {low: interval[0], high: interval[1]} : {})});
    }
    if (points.length > 0) series.push({name: line.press, style: styleOf(line.press), points});
  }
  if (byId('front').checked) markFront(series, xOf.lower, yOf.lower);
  return {
    joined: xOf.joined,
    x: {label: xOf.title, log: byId('log-x').checked},
    y: {label: yOf.title, log: byId('log-y').checked},
    zero: yOf.zero_line,
    series,
    empty: curves.hidden.size > 0 ? 'Nothing to show: all presses are hidden' : 'No run has both numbers',
    tell: (point, line) => [line.name, tellRun(point.run)],
  };
}

function noteOf(spec) {
  const all = spec.series.flatMap((it) => it.points);
  const lost = all.filter((it) => (spec.x.log && it.x <= 0) || (spec.y.log && it.y <= 0)).length;
  return lost > 0 ? `${lost} point${lost > 1 ? 's' : ''} at or below 0 not shown on a logarithmic axis` : '';
}

function drawPanel(card) {
  const entry = curves.plots.get(card);
  if (!entry.near) { entry.stale = true; return; }
  entry.stale = false;
  const spec = specOf(entry.panel);
  entry.what.textContent = `${yMeasure().label} against ${xMeasure().label}`;
  entry.plot.show(spec);
  entry.note.textContent = noteOf(spec);
}
const redraw = () => { for (const card of curves.plots.keys()) drawPanel(card); };

/** Plots out of sight wait until they are scrolled to. */
const watch = new IntersectionObserver((entries) => {
  for (const it of entries) {
    const entry = curves.plots.get(it.target);
    if (!entry) continue;
    entry.near = it.isIntersecting;
    if (entry.near && entry.stale) drawPanel(it.target);
  }
}, {rootMargin: '300px'});

/** On paper all is in sight, and dark ink on white. */
addEventListener('beforeprint', () => {
  for (const entry of curves.plots.values()) entry.near = true;
  theme.printing = true;
  showTheme();
});
addEventListener('afterprint', () => {
  theme.printing = false;
  showTheme();
});

function showPanels() {
  const words = byId('panel-filter').value.toLowerCase().split(/\s+/).filter(Boolean);
  const fitting = data.panels.filter((it) => words.every((word) => it.title.toLowerCase().includes(word)));
  const shown = fitting.slice(0, curves.shown);
  watch.disconnect();
  curves.plots.clear();
  const box = byId('panels');
  box.replaceChildren();
  box.classList.toggle('single', shown.length === 1);
  for (const panel of shown) {
    const canvas = element('canvas', {tabindex: '0', role: 'img', 'aria-label': `${panel.title}: arrow keys move between points`});
    const note = element('p', {class: 'note'});
    const what = element('p', {class: 'note'});
    const card = element('div', {class: 'panel'}, element('h3', {}, panel.title), what, canvas, note);
    box.append(card);
    curves.plots.set(card, {panel, plot: new Plot(canvas), what, note, near: false, stale: true});
    watch.observe(card);
  }
  if (shown.length === 0) box.append(element('p', {class: 'hint'}, 'No panel contains these words.'));
  const left = fitting.length - shown.length;
  byId('more-panels').hidden = left === 0;
  byId('more-panels').textContent = `Show ${Math.min(12, left)} more of ${left}`;
}

function swatchOf(style) {
  const canvas = element('canvas', {'aria-hidden': 'true'});
  canvas.style.width = '38px';
  canvas.style.height = '16px';
  requestAnimationFrame(() => drawSwatch(canvas, style));
  theme.listeners.push(() => drawSwatch(canvas, style));
  return canvas;
}
function drawSwatch(canvas, style) {
  const {context, width, height} = sized(canvas);
  context.strokeStyle = colorOf(style);
  context.lineWidth = 2;
  context.setLineDash(style.dash);
  context.beginPath(); context.moveTo(1, height / 2); context.lineTo(width - 1, height / 2); context.stroke();
  withMark(context, width / 2, height / 2, style, 4);
}

function showHidden() {
  for (const button of byId('legend').querySelectorAll('button[data-press]')) {
    button.setAttribute('aria-pressed', String(!curves.hidden.has(button.dataset.press)));
  }
  redraw();
}
function buildLegend() {
  const legend = byId('legend');
  for (const {name: press, label} of data.presses) {
    const button = element('button', {type: 'button', title: press, 'aria-pressed': 'true'}, swatchOf(styleOf(press)), label);
    button.dataset.press = press;
    button.addEventListener('click', (event) => {
      if (event.detail > 1) return;  // the second of a double click
      if (!curves.hidden.delete(press)) curves.hidden.add(press);
      showHidden();
    });
    button.addEventListener('dblclick', () => {
      curves.hidden = new Set(presses.filter((it) => it !== press));
      showHidden();
    });
    legend.append(button);
  }
  const disc = element('span', {class: 'disc'});
  const showDisc = () => { disc.style.background = colorOf(data.front); };
  theme.listeners.push(showDisc);
  showDisc();
  const front = element('span', {class: 'entry'}, disc, data.front.label);
  byId('front').addEventListener('change', () => { front.hidden = !byId('front').checked; });
  legend.append(front);
  if (presses.length > 3) {
    legend.append(
      element('button', {type: 'button', class: 'plain', onclick: () => { curves.hidden.clear(); showHidden(); }}, 'all'),
      element('button', {type: 'button', class: 'plain', onclick: () => { curves.hidden = new Set(presses); showHidden(); }}, 'none'));
  }
}

function chooseLogs(which) {
  if (which.x) byId('log-x').checked = xMeasure().log;
  if (which.y) byId('log-y').checked = yMeasure().log;
}

function startCurves() {
  if (data.quality.length === 0) { byId('curves').hidden = true; return; }
  for (const it of data.quality) byId('y-measure').append(element('option', {value: it.key}, it.title));
  for (const it of data.costs) byId('x-measure').append(element('option', {value: it.key}, it.title));
  byId('panel-filter-label').hidden = data.panels.length <= 6;
  byId('controls').addEventListener('submit', (event) => event.preventDefault());
  byId('x-measure').addEventListener('change', () => { chooseLogs({x: true}); redraw(); });
  byId('y-measure').addEventListener('change', () => { chooseLogs({y: true}); redraw(); });
  for (const id of ['log-x', 'log-y', 'front', 'intervals']) byId(id).addEventListener('change', redraw);
  byId('panel-filter').addEventListener('input', () => { curves.shown = 12; showPanels(); });
  byId('more-panels').addEventListener('click', () => { curves.shown += 12; showPanels(); });
  chooseLogs({x: true, y: true});
  buildLegend();
  showPanels();
  theme.listeners.push(redraw);
}
