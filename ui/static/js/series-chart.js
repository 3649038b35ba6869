// @ts-check
// A chart of numbers over time, as SVG of our own. Colours come from the style
// sheet, so it follows the theme; every chart has a table beside it.

import { clock, day, shortSpan } from './format.js';

const SVG = 'http://www.w3.org/2000/svg';
const HEIGHT = 200;
const LEFT = 48;
const RIGHT = 8;
const TOP = 8;
const BOTTOM = 22;

/**
 * @typedef {{age: number, value: number, min: number, max: number}} Point ages in milliseconds, the oldest point first
 * @typedef {{label: string, points: Point[]}} Line
 * @typedef {{lines: Line[], span: number, zero?: boolean, whole?: boolean, height?: number, format: (n: number) => string}} ChartData
 *   zero: the axis begins there; whole: halves make no sense, as with clients
 */

function make(/** @type {string} */ tag, /** @type {Record<string, string | number>} */ attributes, text = '') {
  const el = document.createElementNS(SVG, tag);
  for (const [k, v] of Object.entries(attributes)) el.setAttribute(k, String(v));
  if (text) el.textContent = text;
  return el;
}

/** Round numbers between two others. @returns {number[]} */
export function ticks(/** @type {number} */ low, /** @type {number} */ high, want = 4) {
  const raw = (high - low) / want;
  if (!(raw > 0) || !Number.isFinite(raw)) return [low];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999) ?? 10 * power;
  const out = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) out.push(Number((i * step).toPrecision(12)));
  return out;
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [1, 2, 5, 10, 15, 30].map((n) => n * SECOND).concat([1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
  [1, 2, 3, 6, 12].map((n) => n * HOUR), [1, 2, 7, 14, 30].map((n) => n * DAY));

/**
 * Round times between now and span milliseconds ago, the newest first: round ages, or
 * from two hours on round times of the day. @returns {number[]} ages
 */
export function timeMarks(/** @type {number} */ span, /** @type {number} */ want, now = new Date()) {
  const step = STEPS.find((s) => span / s <= want) ?? Math.ceil(span / want / DAY) * DAY;
  const byClock = span >= CLOCK_SPAN;
  const out = [];
  for (let age = byClock ? (now.getTime() - now.getTimezoneOffset() * MINUTE) % step : step; age <= span; age += step) out.push(age);
  return out;
}

const CLOCK_SPAN = 2 * HOUR;

const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

/** A number as short as the edge of a chart needs it. */
function short(/** @type {number} */ n, /** @type {(n: number) => string} */ format) {
  return Math.abs(n) >= 10_000 && Math.abs(n) < 1e15 ? compact.format(n) : format(n);
}

/** A number in as many digits as a person reads. */
export function readable(/** @type {number} */ n) {
  if (n !== 0 && (Math.abs(n) >= 1e9 || Math.abs(n) < 1e-4)) return n.toExponential(2);
  return String(Number(n.toPrecision(7)));
}

/** How long ago or, for old points, the time of the day. */
export function when(/** @type {number} */ age) {
  const at = new Date(Date.now() - age);
  const time = clock(at, age < 600_000);
  return age < 72_000_000 ? time : `${day(at)} ${time}`;
}

export class SeriesChart {
  #el;
  #svg = make('svg', { class: 'chart-svg', role: 'img', tabindex: '0' });
  #readout = document.createElement('p');
  /** @type {ChartData | null} */ #data = null;
  #height = HEIGHT;
  #at = -1; // point under the crosshair, of the first line
  #x = (/** @type {number} */ age) => age;
  #y = (/** @type {number} */ v) => v;

  /** @param {HTMLElement} el */
  constructor(el) {
    this.#el = el;
    this.#readout.className = 'chart-readout num';
    el.replaceChildren(this.#svg, this.#readout);
    new ResizeObserver(() => this.#draw()).observe(el);
    this.#svg.addEventListener('pointermove', (e) => this.#point(/** @type {PointerEvent} */ (e).offsetX));
    this.#svg.addEventListener('pointerleave', () => this.#pick(-1));
    this.#svg.addEventListener('keydown', (e) => this.#key(/** @type {KeyboardEvent} */ (e)));
    this.#svg.addEventListener('blur', () => this.#pick(-1));
  }

  show(/** @type {ChartData} */ data, /** @type {string} */ label) {
    this.#data = data;
    this.#svg.setAttribute('aria-label', label);
    this.#draw();
  }

  #draw() {
    const d = this.#data;
    const width = this.#el.clientWidth;
    if (!d || width < 60) return;
    const svg = this.#svg;
    const height = this.#height = d.height ?? HEIGHT;
    svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    svg.setAttribute('width', String(width));
    svg.setAttribute('height', String(height));
    let low = d.zero ? 0 : Infinity;
    let high = -Infinity;
    for (const l of d.lines) {
      for (const p of l.points) {
        low = Math.min(low, p.min);
        high = Math.max(high, p.max);
      }
    }
    if (!Number.isFinite(low) || !Number.isFinite(high)) [low, high] = [0, 1];
    if (low === high) [low, high] = d.zero ? [0, Math.max(1, high)] : [low - 1, high + 1];
    let marks = ticks(low, high, Math.round(height / 50));
    if (d.zero && marks.length > 1) { // ends with a mark, too
      const step = marks[1] - marks[0];
      high = Math.ceil(high / step - 1e-9) * step;
      marks = ticks(low, high, Math.round(high / step));
    }
    if (d.whole) marks = marks.filter(Number.isInteger);
    const span = Math.max(1, d.span);
    this.#x = (age) => LEFT + (1 - age / span) * (width - LEFT - RIGHT);
    this.#y = (v) => TOP + (1 - (v - low) / (high - low)) * (height - TOP - BOTTOM);
    const parts = [];
    for (const m of marks) {
      const y = this.#y(m);
      parts.push(make('line', { class: 'chart-grid', x1: LEFT, x2: width - RIGHT, y1: y, y2: y }));
      parts.push(make('text', { class: 'chart-label', x: LEFT - 6, y: y + 4, 'text-anchor': 'end' }, short(m, d.format)));
    }
    const label = (/** @type {number} */ x, /** @type {string} */ anchor, /** @type {string} */ text) =>
      parts.push(make('text', { class: 'chart-label', x, y: height - 6, 'text-anchor': anchor }, text));
    label(width - RIGHT, 'end', 'now');
    for (const age of timeMarks(span, Math.max(2, Math.floor((width - LEFT) / 90)))) {
      const x = this.#x(age);
      if (x < width - RIGHT - 60) label(x, 'middle', span < CLOCK_SPAN ? `−${shortSpan(age)}` : when(age));
    }
    d.lines.forEach((l, i) => parts.push(...this.#line(l, i + 1)));
    parts.push(make('g', { class: 'chart-cross' }));
    svg.replaceChildren(...parts);
    this.#pick(this.#at < (d.lines[0]?.points.length ?? 0) ? this.#at : -1);
  }

  #line(/** @type {Line} */ l, /** @type {number} */ nth) {
    const parts = [];
    const at = (/** @type {Point} */ p, /** @type {number} */ v) => `${this.#x(p.age).toFixed(1)},${this.#y(v).toFixed(1)}`;
    if (l.points.some((p) => p.min !== p.max)) {
      const band = [...l.points.map((p) => at(p, p.max)), ...[...l.points].reverse().map((p) => at(p, p.min))];
      parts.push(make('polygon', { class: `chart-band chart-${nth}`, points: band.join(' ') }));
    }
    if (l.points.length === 1) {
      parts.push(make('circle', { class: `chart-dot chart-${nth}`, cx: this.#x(l.points[0].age), cy: this.#y(l.points[0].value), r: 3 }));
    } else {
      parts.push(make('polyline', { class: `chart-line chart-${nth}`, points: l.points.map((p) => at(p, p.value)).join(' ') }));
    }
    return parts;
  }

  #point(/** @type {number} */ x) {
    const points = this.#data?.lines[0]?.points ?? [];
    let best = -1;
    let distance = Infinity;
    points.forEach((p, i) => {
      const far = Math.abs(this.#x(p.age) - x);
      if (far < distance) [best, distance] = [i, far];
    });
    this.#pick(best);
  }

  #key(/** @type {KeyboardEvent} */ e) {
    const last = (this.#data?.lines[0]?.points.length ?? 0) - 1;
    const to = { ArrowLeft: this.#at < 0 ? last : this.#at - 1, ArrowRight: this.#at + 1, Home: 0, End: last, Escape: -1 }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    this.#pick(e.key === 'Escape' ? -1 : Math.max(0, Math.min(last, to)));
  }

  #pick(/** @type {number} */ i) {
    this.#at = i;
    const d = this.#data;
    const cross = this.#svg.querySelector('.chart-cross');
    if (!d || !cross) return;
    const p = d.lines[0]?.points[i];
    if (!p) {
      cross.replaceChildren();
      this.#readout.textContent = '\u00a0';
      return;
    }
    const x = this.#x(p.age);
    const parts = [make('line', { class: 'chart-grid', x1: x, x2: x, y1: TOP, y2: this.#height - BOTTOM })];
    const words = [];
    d.lines.forEach((l, nth) => {
      const q = l.points.reduce((best, c) => (Math.abs(c.age - p.age) < Math.abs(best.age - p.age) ? c : best), l.points[0]);
      if (!q) return;
      parts.push(make('circle', { class: `chart-dot chart-${nth + 1}`, cx: x, cy: this.#y(q.value), r: 3.5 }));
      const range = q.min !== q.max ? ` (${d.format(q.min)} to ${d.format(q.max)})` : '';
      words.push(`${l.label ? `${l.label} ` : ''}${d.format(q.value)}${range}`);
    });
    cross.replaceChildren(...parts);
    this.#readout.textContent = `${when(p.age)}: ${words.join(', ')}`;
  }
}

/** Fills a table with what a chart shows, the newest first. */
export function fillTable(/** @type {HTMLElement} */ table, /** @type {ChartData} */ d) {
  const row = (/** @type {string} */ tag, /** @type {string[]} */ texts) => {
    const tr = document.createElement('tr');
    for (const text of texts) {
      const cell = document.createElement(tag);
      if (tag === 'th') cell.setAttribute('scope', 'col');
      cell.textContent = text;
      tr.append(cell);
    }
    return tr;
  };
  const head = document.createElement('thead');
  const single = d.lines.length === 1;
  head.append(row('th', single ? ['When', 'Value', 'Lowest', 'Highest'] : ['When', ...d.lines.map((l) => l.label)]));
  const body = document.createElement('tbody');
  const first = d.lines[0]?.points ?? [];
  for (let i = first.length - 1; i >= 0; i--) {
    const p = first[i];
    body.append(row('td', single ? [when(p.age), d.format(p.value), d.format(p.min), d.format(p.max)]
      : [when(p.age), ...d.lines.map((l) => (l.points[i] ? d.format(l.points[i].value) : ''))]));
  }
  table.replaceChildren(head, body);
}
