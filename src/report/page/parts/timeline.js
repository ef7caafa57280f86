// Memory along a run: the bytes of the cache and of the process along the tokens or the seconds, its phases behind them.
const {memory} = data;

function timelineSpec(run, curve) {
  const along = memory.axes[Number(byId('timeline-x').selectedIndex)];
  const points = run[curve.key].map((y, i) => ({x: run[along.key][i], y, at: i}));
  const bands = run.bands.map(({phase, first, last}) => ({...memory.phases[phase], from: run[along.key][first], to: run[along.key][last]}));
  return {
    x: {label: along.title, log: false},
    y: {label: curve.axis, log: false},
    series: [{name: curve.title, style: curve.style, points, marks: points.length < 60}],
    bands: bands.filter((it) => it.to > it.from),
    tell: ({at}) => [memory.phases[run.phase[at]].name, [
      ['tokens', run.tokens[at].toLocaleString('en-US').replace(/,/g, '\u202f')],
      ['seconds', formatted(run.seconds[at])],
      ...memory.curves.map((it) => [it.title, formatted(run[it.key][at]) + ' MiB']),
    ]],
  };
}

function startTimelines() {
  if (memory.runs.length === 0) return;
  byId('timelines').hidden = false;
  memory.runs.forEach((it, i) => byId('timeline-run').append(element('option', {value: String(i)}, it.name)));
  for (const it of memory.axes) byId('timeline-x').append(element('option', {value: it.key}, it.title));
  const swatches = [];
  memory.phases.forEach((phase, i) => {
    if (!memory.runs.some((run) => run.bands.some((it) => it.phase === i))) return;
    const swatch = element('span', {class: 'swatch'});
    swatches.push({swatch, phase});
    byId('timeline-legend').append(element('span', {}, swatch, phase.name, '\u2003'));
  });
  const plots = memory.curves.map((curve) => {
    const canvas = element('canvas', {tabindex: '0', role: 'img', 'aria-label': curve.title});
    byId('timeline-panels').append(element('div', {class: 'panel'}, element('h3', {}, curve.title), canvas));
    return {curve, plot: new Plot(canvas)};
  });
  const show = () => {
    for (const {swatch, phase} of swatches) swatch.style.background = colorOf(phase);
    for (const {curve, plot} of plots) plot.show(timelineSpec(memory.runs[Number(byId('timeline-run').value)], curve));
  };
  byId('timeline-x').addEventListener('change', show);
  byId('timeline-run').addEventListener('change', show);
  theme.listeners.push(show);
  show();
}
