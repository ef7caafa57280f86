// Memory along a run: the bytes of the cache and of the process along the tokens or the seconds, its phases behind them.
const phaseColors = {prefill: '#0072B2', compress: '#D55E00', score: '#009E73', decode: '#E69F00'};
const timelineStyles = {
  cache: {color: '#0072B2', dark: '#3D9BE0', mark: 'circle', dash: 'solid'},
  resident: {color: '#D55E00', dark: '#E8742A', mark: 'square', dash: 'dashed'},
};

/** The stretches of one phase after another. */
function bandsOf(timeline, along) {
  const bands = [];
  for (let i = 1; i < timeline.phase.length; ++i) {
    const color = phaseColors[timeline.phase[i]] || '#888888';
    const last = bands[bands.length - 1];
    const from = timeline[along][i - 1], to = timeline[along][i];
    if (last && last.color === color && last.to === from) last.to = to; else bands.push({color, from, to});
  }
  return bands.filter((it) => it.to > it.from);
}

function timelineSpec(timeline, key, label) {
  const along = byId('timeline-x').value;
  const scale = 1 / (1 << 20);
  const points = timeline[key].map((value, i) => ({x: timeline[along][i], y: value * scale, at: i}));
  return {
    x: {label: along === 'tokens' ? 'tokens of the text' : 'seconds', log: false},
    y: {label, log: false},
    series: [{name: label, style: timelineStyles[key], points, marks: points.length < 60}],
    bands: bandsOf(timeline, along),
    tell: (point) => [timeline.phase[point.at], [['tokens', timeline.tokens[point.at].toLocaleString('en-US').replace(/,/g, '\u202f')], ['seconds', formatted(timeline.seconds[point.at])],
                      ['cache', formatted(timeline.cache[point.at] * scale) + ' MiB'], ['resident', formatted(timeline.resident[point.at] * scale) + ' MiB']]],
  };
}

function startTimelines() {
  if (data.timelines.length === 0) return;
  byId('timelines').hidden = false;
  data.timelines.forEach((it, i) => byId('timeline-run').append(element('option', {value: String(i)}, it.name)));
  for (const [phase, color] of Object.entries(phaseColors)) {
    if (!data.timelines.some((it) => it.phase.includes(phase))) continue;
    const swatch = element('span', {class: 'swatch'});
    swatch.style.background = color;
    byId('timeline-legend').append(element('span', {}, swatch, phase, '\u2003'));
  }
  const plots = {};
  for (const [key, title] of [['cache', 'KV cache'], ['resident', 'Resident memory of the process']]) {
    const canvas = element('canvas', {tabindex: '0', role: 'img', 'aria-label': title});
    byId('timeline-panels').append(element('div', {class: 'panel'}, element('h3', {}, title), canvas));
    plots[key] = new Plot(canvas);
  }
  const show = () => {
    const timeline = data.timelines[Number(byId('timeline-run').value)];
    plots.cache.show(timelineSpec(timeline, 'cache', 'cache (MiB)'));
    plots.resident.show(timelineSpec(timeline, 'resident', 'resident (MiB)'));
  };
  byId('timeline-x').addEventListener('change', show);
  byId('timeline-run').addEventListener('change', show);
  theme.listeners.push(show);
  show();
}
