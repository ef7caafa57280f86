// A plot on a canvas: axes, lines with marks and intervals, and the point nearest to the pointer.

/** A mark around (0, 0). */
function drawMark(context, mark, size) {
  const open = mark.startsWith('open_');
  const shape = open ? mark.slice(5) : mark;
  context.beginPath();
  if (shape === 'circle') context.arc(0, 0, size, 0, 2 * Math.PI);
  else if (shape === 'square') context.rect(-0.88 * size, -0.88 * size, 1.76 * size, 1.76 * size);
  else if (shape === 'plus' || shape === 'cross') {
    if (shape === 'cross') context.rotate(Math.PI / 4);
    context.moveTo(-1.2 * size, 0); context.lineTo(1.2 * size, 0);
    context.moveTo(0, -1.2 * size); context.lineTo(0, 1.2 * size);
    context.lineWidth = 2.2;
    context.stroke();
    return;
  } else {
    const corners = {triangle: 3, triangle_down: 3, diamond: 4}[shape];
    const turn = shape === 'triangle_down' ? Math.PI / 2 : -Math.PI / 2;
    for (let i = 0; i < corners; ++i) {
      const angle = turn + i * 2 * Math.PI / corners;
      const reach = 1.25 * size;
      context[i === 0 ? 'moveTo' : 'lineTo'](reach * Math.cos(angle), reach * Math.sin(angle));
    }
    context.closePath();
  }
  if (open) {
    context.fillStyle = cssColor('--card');
    context.fill();
    context.lineWidth = 1.8;
    context.stroke();
  } else {
    context.fill();
  }
}

function withMark(context, x, y, style, size) {
  context.save();
  context.translate(x, y);
  context.setLineDash([]);
  context.fillStyle = context.strokeStyle = colorOf(style);
  drawMark(context, style.mark, size);
  context.restore();
}

/** Sets a canvas to the pixels it covers; the context then draws in CSS pixels. */
function sized(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext('2d');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return {context, width, height};
}

function linearTicks(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  const power = Math.pow(10, Math.floor(Math.log10(rough)));
  const step = [1, 2, 2.5, 5, 10].map((it) => it * power).find((it) => it >= rough) || 10 * power;
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; ++i) ticks.push(i * step);
  const digits = Math.max(0, Math.min(8, Math.ceil(-Math.log10(step) - 1e-9) + (String(step / power).startsWith('2.5') ? 1 : 0)));
  return ticks.map((at) => ({at, label: Math.abs(at) >= 1e6 ? at.toExponential(1) : (at === 0 ? '0' : at.toFixed(digits))}));
}

function logTicks(low, high, count) {
  const ticks = [];
  const decades = Math.log10(high / low);
  const steps = decades > count ? [1] : decades > 1.5 ? [1, 3] : [1, 2, 5];
  const every = Math.max(1, Math.ceil(decades / Math.max(1, count)));
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); ++power) {
    if (steps.length === 1 && power % every !== 0) continue;
    for (const step of steps) {
      const at = step * Math.pow(10, power);
      if (at >= low * 0.9999 && at <= high * 1.0001) {
        ticks.push({at, label: at >= 1e5 || at < 1e-4 ? at.toExponential(0) : String(Number(at.toPrecision(2)))});
      }
    }
  }
  return ticks.length >= 2 ? ticks : linearTicks(low, high, count);
}

/** A linear or logarithmic axis from values to pixels. */
class Axis {
  constructor(values, log, padding) {
    let low = Infinity, high = -Infinity;
    for (const value of values) {
      if (log && !(value > 0)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    if (!(low <= high)) { low = log ? 1 : 0; high = log ? 10 : 1; }
    this.log = log;
    if (log) {
      const room = Math.max(padding * Math.log10(high / low), 0.06);
      this.low = low / Math.pow(10, room);
      this.high = high * Math.pow(10, room);
    } else {
      const room = padding * (high - low) || Math.abs(high) * 0.1 || 1;
      this.low = low - room;
      this.high = high + room;
    }
  }
  place(from, to) { this.from = from; this.to = to; return this; }
  pixel(value) {
    const share = this.log ? Math.log(value / this.low) / Math.log(this.high / this.low)
                           : (value - this.low) / (this.high - this.low);
    return this.from + share * (this.to - this.from);
  }
  ticks(count) { return this.log ? logTicks(this.low, this.high, count) : linearTicks(this.low, this.high, count); }
}

/**
 * spec: {x: {label, log}, y: {label, log}, series: [{style, points: [{x, y, low, high, front}], marks, step}], bands:
 * [{from, to, color}], zero, tell(point) -> [title, lines], alone}. Points that a logarithmic axis does not have are left out.
 */
class Plot {
  constructor(canvas) {
    this.canvas = canvas;
    canvas.plot = this;
    this.hits = [];  // {px, py, series, point}, by px: the nearest is found by bisection
    this.hovered = null;
    canvas.addEventListener('pointermove', (event) => this.pointAt(event));
    canvas.addEventListener('pointerdown', (event) => this.pointAt(event));
    canvas.addEventListener('pointerleave', (event) => { if (event.pointerType === 'mouse') this.hover(null); });
    canvas.addEventListener('blur', () => this.hover(null));
    canvas.addEventListener('keydown', (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  show(spec) {
    this.spec = spec;
    this.hovered = null;
    this.draw();
  }

  draw() {
    if (!this.spec || this.canvas.clientWidth === 0) return;
    const {context, width, height} = sized(this.canvas);
    const spec = this.spec;
    const visible = (it) => (!spec.x.log || it.x > 0) && (!spec.y.log || it.y > 0);
    const xs = [], ys = [];
    for (const series of spec.series) {
      for (const it of series.points) {
        if (!visible(it)) continue;
        xs.push(it.x);
        ys.push(it.y);
        if (it.low !== undefined) ys.push(it.low > 0 || !spec.y.log ? it.low : it.y, it.high);
      }
    }
    if (spec.zero && !spec.y.log) ys.push(0);
    this.hits = [];
    context.font = '12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif';
    if (xs.length === 0) {
      context.fillStyle = cssColor('--muted');
      context.textAlign = 'center';
      context.fillText(spec.empty || 'Nothing to show for this choice', width / 2, height / 2);
      return;
    }
    const y = new Axis(ys, spec.y.log, 0.07).place(height - 46, 12);
    const yTicks = y.ticks(Math.max(3, Math.floor(height / 58)));
    const widest = Math.max(...yTicks.map((it) => context.measureText(it.label).width));
    const left = Math.ceil(widest) + 34;
    const x = new Axis(xs, spec.x.log, 0.06).place(left, width - 12);
    const xTicks = x.ticks(Math.max(3, Math.floor((width - left) / 62)));
    this.drawAxes(context, {x, y, xTicks, yTicks, width, height, left});
    context.save();
    context.beginPath();
    context.rect(left, 4, width - left - 4, height - 46);
    context.clip();
    this.drawFront(context, x, y, visible);
    for (const series of spec.series) this.drawSeries(context, series, x, y, visible);
    context.restore();
    this.hits.sort((a, b) => a.px - b.px);
    this.ring(context);
  }

  drawAxes(context, {x, y, xTicks, yTicks, width, height, left}) {
    const spec = this.spec;
    for (const band of spec.bands || []) {
      const from = Math.max(left, x.pixel(Math.max(band.from, x.low)));
      const to = Math.min(width - 12, x.pixel(Math.min(band.to, x.high)));
      context.fillStyle = colorOf(band);
      context.globalAlpha = 0.13;
      context.fillRect(from, 8, Math.max(1, to - from), height - 54);
      context.globalAlpha = 1;
    }
    context.lineWidth = 1;
    context.strokeStyle = cssColor('--grid');
    context.fillStyle = cssColor('--muted');
    context.textBaseline = 'middle';
    context.textAlign = 'right';
    for (const {at, label} of yTicks) {
      const py = Math.round(y.pixel(at)) + 0.5;
      context.beginPath(); context.moveTo(left, py); context.lineTo(width - 12, py); context.stroke();
      context.fillText(label, left - 7, py);
    }
    context.textAlign = 'center';
    context.textBaseline = 'top';
    let lastEnd = -Infinity;
    for (const {at, label} of xTicks) {
      const px = Math.round(x.pixel(at)) + 0.5;
      context.beginPath(); context.moveTo(px, 10); context.lineTo(px, height - 46); context.stroke();
      const half = context.measureText(label).width / 2;
      if (px - half < lastEnd + 6) continue;
      context.fillText(label, px, height - 40);
      lastEnd = px + half;
    }
    context.strokeStyle = cssColor('--muted');
    context.beginPath(); context.moveTo(left + 0.5, 10); context.lineTo(left + 0.5, height - 45.5); context.lineTo(width - 12, height - 45.5); context.stroke();
    if (spec.zero && !spec.y.log) {
      const py = Math.round(y.pixel(0)) + 0.5;
      context.setLineDash([3, 3]);
      context.beginPath(); context.moveTo(left, py); context.lineTo(width - 12, py); context.stroke();
      context.setLineDash([]);
    }
    context.fillText(spec.x.label + (spec.x.log ? ', log' : ''), (left + width) / 2, height - 19);
    context.save();
    context.translate(12, (height - 40) / 2);
    context.rotate(-Math.PI / 2);
    context.textBaseline = 'middle';
    context.fillText(spec.y.label + (spec.y.log ? ', log' : ''), 0, 0);
    context.restore();
  }

  drawFront(context, x, y, visible) {
    context.fillStyle = colorOf(data.front);
    for (const series of this.spec.series) {
      for (const it of series.points) {
        if (!it.front || !visible(it)) continue;
        context.beginPath();
        context.arc(x.pixel(it.x), y.pixel(it.y), 11, 0, 2 * Math.PI);
        context.fill();
      }
    }
  }

  drawSeries(context, series, x, y, visible) {
    const away = this.hovered && this.hovered.series !== series;
    context.globalAlpha = away ? 0.3 : 1;
    context.strokeStyle = colorOf(series.style);
    const points = series.points.filter(visible).map((point) => ({point, px: x.pixel(point.x), py: y.pixel(point.y)}));
    context.lineWidth = 1.2;
    context.setLineDash([]);
    // Of many lines the intervals would hide the lines.
    context.globalAlpha = away ? 0.12 : this.hovered || this.spec.series.length <= 4 ? 1 : 0.4;
    for (const {point, px} of points) {
      if (point.low === undefined || point.low === point.high) continue;
      const top = y.pixel(point.high);
      const bottom = point.low > 0 || !y.log ? y.pixel(point.low) : y.from;
      context.beginPath();
      context.moveTo(px, top); context.lineTo(px, bottom);
      context.moveTo(px - 3, top); context.lineTo(px + 3, top);
      context.moveTo(px - 3, bottom); context.lineTo(px + 3, bottom);
      context.stroke();
    }
    context.globalAlpha = away ? 0.3 : 1;
    context.lineWidth = this.hovered && !away ? 2.6 : 1.8;
    context.setLineDash(series.style.dash);
    if (this.spec.joined !== false) {
      context.beginPath();
      points.forEach(({px, py}, i) => {
        if (i > 0 && series.step) context.lineTo(px, points[i - 1].py);
        context[i === 0 ? 'moveTo' : 'lineTo'](px, py);
      });
      context.stroke();
    }
    context.setLineDash([]);
    for (const {point, px, py} of points) {
      if (series.marks !== false) withMark(context, px, py, series.style, 4);
      this.hits.push({px, py, series, point});
    }
    context.globalAlpha = 1;
  }

  ring(context) {
    if (!this.hovered) return;
    const found = this.hits.find((it) => it.point === this.hovered.point);
    if (!found) return;
    context.strokeStyle = cssColor('--text');
    context.lineWidth = 1.5;
    context.beginPath();
    context.arc(found.px, found.py, 8, 0, 2 * Math.PI);
    context.stroke();
  }

  /** The nearest visible point within reach: bisection by x, then outwards as long as it can get nearer. */
  nearest(px, py, reach = 46) {
    const hits = this.hits;
    let low = 0, high = hits.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (hits[middle].px < px) low = middle + 1; else high = middle;
    }
    let best = null, distance = reach;
    const look = (it) => {
      const d = Math.hypot(it.px - px, it.py - py);
      if (d < distance) { distance = d; best = it; }
    };
    for (let left = low - 1, right = low; left >= 0 || right < hits.length;) {
      const leftGap = left >= 0 ? px - hits[left].px : Infinity;
      const rightGap = right < hits.length ? hits[right].px - px : Infinity;
      if (Math.min(leftGap, rightGap) > distance) break;
      if (leftGap <= rightGap) look(hits[left--]); else look(hits[right++]);
    }
    return best;
  }

  pointAt(event) {
    const box = this.canvas.getBoundingClientRect();
    this.hover(this.nearest(event.clientX - box.left, event.clientY - box.top));
  }

  key(event) {
    const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    if (event.key === 'Escape') this.hover(null);
    if (!step || this.hits.length === 0) return;
    event.preventDefault();
    const at = this.hovered ? this.hits.findIndex((it) => it.point === this.hovered.point) : (step > 0 ? -1 : 0);
    this.hover(this.hits[(at + step + this.hits.length) % this.hits.length]);
  }

  hover(hit) {
    const before = this.hovered;
    this.hovered = hit ? {series: hit.series, point: hit.point} : null;
    if ((before && before.point) !== (hit && hit.point)) this.draw();
    if (!hit) { hideTooltip(); return; }
    const box = this.canvas.getBoundingClientRect();
    showTooltip(box.left + hit.px, box.top + hit.py, ...this.spec.tell(hit.point, hit.series));
  }
}
