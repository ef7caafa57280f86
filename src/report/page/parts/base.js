// The page's data, numbers for people, and the theme. Every string from outside reaches the page as text, never as HTML.
const data = JSON.parse(document.getElementById('data').textContent);
const byId = (id) => document.getElementById(id);

/** An element with attributes and children; a child that is no node becomes text. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === 'class') made.className = value;
    else if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** About four significant digits, without an exponent where that is short. */
function formatted(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return '';
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size >= 1e7 || size < 1e-4) return value.toExponential(2);
  if (size >= 1000) return Math.round(value).toLocaleString('en-US').replace(/,/g, '\u202f');
  const digits = Math.max(0, 3 - Math.floor(Math.log10(size)));
  return value.toFixed(Math.min(digits, 6));
}
const signed = (value) => (value > 0 ? '+' : '') + formatted(value);

/** A measure's value of a run as shown, or null. */
function valueOf(run, measure) {
  const column = {compression_ratio: data.runs.ratio, evicted_share: data.runs.evicted}[measure.key] || data.runs.numbers[measure.key];
  const value = column ? column[run] : null;
  return value === null || value === undefined ? null : value * measure.scale;
}
function intervalOf(run, measure) {
  const it = data.runs.intervals[measure.key];
  if (!it || it.low[run] === null || it.low[run] === undefined) return null;
  return [it.low[run] * measure.scale, it.high[run] * measure.scale];
}
const nameOf = (run, field) => data.names[data.runs[field][run]];

// Theme: as the system has it, until someone chooses.
const systemDark = window.matchMedia('(prefers-color-scheme: dark)');
const theme = {choice: 'auto', printing: false, listeners: []};
function isDark() { return !theme.printing && (theme.choice === 'dark' || (theme.choice === 'auto' && systemDark.matches)); }
function showTheme() {
  document.documentElement.dataset.theme = isDark() ? 'dark' : 'light';
  byId('theme').textContent = `Theme: ${theme.choice}`;
  for (const listener of theme.listeners) listener();
}
try {  // a page opened from a file may not be allowed to store anything
  theme.choice = localStorage.getItem('kvpress-theme') || 'auto';
} catch (error) { theme.choice = 'auto'; }
byId('theme').addEventListener('click', () => {
  theme.choice = {auto: isDark() ? 'light' : 'dark', light: 'dark', dark: 'auto'}[theme.choice];
  if (theme.choice === 'dark' && systemDark.matches) theme.choice = 'auto';
  try { localStorage.setItem('kvpress-theme', theme.choice); } catch (error) { /* then it holds for this visit */ }
  showTheme();
});
systemDark.addEventListener('change', showTheme);

const cssColor = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
/** The colour, of the theme at hand, of a press, a phase, a curve or the Pareto front. */
const colorOf = ({color}) => isDark() ? color.dark : color.light;

// The box that follows the pointer.
function showTooltip(x, y, title, lines) {
  const box = byId('tooltip');
  const list = element('dl');
  for (const [name, value] of lines) list.append(element('dt', {}, name), element('dd', {}, value));
  box.replaceChildren(element('b', {}, title), list);
  box.hidden = false;
  const {width, height} = box.getBoundingClientRect();
  const left = x + 16 + width > innerWidth ? x - width - 16 : x + 16;
  box.style.left = `${Math.max(4, Math.min(left, innerWidth - width - 4))}px`;
  box.style.top = `${Math.max(4, Math.min(y + 14, innerHeight - height - 4))}px`;
}
function hideTooltip() { byId('tooltip').hidden = true; }
addEventListener('scroll', hideTooltip, {passive: true});
