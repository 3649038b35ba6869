// @ts-check
// Keeps the overview's figures fresh and draws the last minutes and the last hour.

import { SeriesChart, fillTable, readable } from './series-chart.js';

const EVERY = 3000; // milliseconds
const KEPT = 60; // points of a line

/** @typedef {{kind: string, title: string, text: string, in: number, out: number, hour: number[][], attention: number,
 *   figures: Record<string, {value: string, detail: string}>}} Overview */

const health = document.querySelector('[data-health]');
const hourCard = document.querySelector('[data-hour]');
/** @type {{messages: SeriesChart, clients: SeriesChart} | null} */ let charts = null;

/** Draws the last hour; a single point is no chart yet. */
function hour(/** @type {number[][]} */ steps) {
  if (!(hourCard instanceof HTMLElement) || steps.length < 2) return;
  hourCard.hidden = false;
  const part = (/** @type {string} */ name) => /** @type {HTMLElement} */ (hourCard.querySelector(`[data-hour-${name}]`));
  charts ??= { messages: new SeriesChart(part('messages')), clients: new SeriesChart(part('clients')) };
  const line = (/** @type {string} */ label, /** @type {number} */ at) => ({
    label, points: steps.map((s) => ({ age: s[0], value: s[at], min: s[at], max: s[at] })),
  });
  const span = Math.max(steps[0][0], 60_000);
  const messages = { lines: [line('received', 1), line('sent', 2)], span, zero: true, format: readable };
  charts.messages.show(messages, 'Messages received and sent per second in the last hour');
  charts.clients.show({ lines: [line('', 3)], span, zero: true, whole: true, height: 120, format: (n) => String(Math.round(n * 10) / 10) }, 'Connected clients in the last hour');
  if (part('table').closest('details')?.open) {
    fillTable(part('table'), { ...messages, lines: [...messages.lines, line('clients', 3)] });
  }
}

/** @type {Record<string, number[]>} */
const history = { in: [], out: [] };

function setText(/** @type {Element | null} */ el, /** @type {string} */ text) {
  if (el && el.textContent !== text) el.textContent = text;
}

function draw(/** @type {string} */ key) {
  const line = document.querySelector(`[data-spark="${key}"] polyline`);
  const points = history[key];
  if (!line || points.length < 4) return;
  const top = Math.max(...points, 1);
  const step = 120 / (KEPT - 1);
  const start = 120 - (points.length - 1) * step;
  line.setAttribute('points', points.map((v, i) => `${(start + i * step).toFixed(1)},${(26 - (v / top) * 22).toFixed(1)}`).join(' '));
}

function show(/** @type {Overview} */ o) {
  if (!(health instanceof HTMLElement)) return;
  for (const kind of ['success', 'warning', 'error']) health.classList.toggle(`health-${kind}`, o.kind === kind);
  health.querySelector('use')?.setAttribute('href', o.kind === 'success' ? '#i-check' : '#i-warning');
  setText(health.querySelector('[data-health-title]'), o.title);
  setText(health.querySelector('[data-health-text]'), o.text);
  for (const [key, figure] of Object.entries(o.figures)) {
    setText(document.querySelector(`[data-figure="${CSS.escape(key)}"]`), figure.value);
    setText(document.querySelector(`[data-detail="${CSS.escape(key)}"]`), figure.detail);
  }
  hour(o.hour);
  // What needs attention is the server's to write: the page is asked for again
  // when there is more or less of it, unless somebody is busy with it.
  const listed = Number(document.querySelector('[data-attention]')?.getAttribute('data-attention') ?? 0);
  if (listed !== o.attention && document.activeElement === document.body && scrollY === 0) location.reload();
  for (const [key, value] of [['in', o.in], ['out', o.out]]) {
    const points = history[String(key)];
    points.push(Number(value));
    if (points.length > KEPT) points.shift();
    draw(String(key));
  }
}

async function refresh() {
  if (!(health instanceof HTMLElement) || document.hidden) return;
  try {
    const answer = await fetch(health.dataset.live ?? '', { headers: { Accept: 'application/json' }, redirect: 'manual' });
    if (answer.status === 401 || answer.type === 'opaqueredirect') {
      health.classList.add('health-stale');
      setText(health.querySelector('[data-health-title]'), 'You are logged out');
      setText(health.querySelector('[data-health-text]'), 'Reload the page to log in again.');
      return;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    health.classList.remove('health-stale');
    show(await answer.json());
  } catch {
    health.classList.add('health-stale');
    setText(health.querySelector('[data-health-text]'), 'HearthMQ does not answer at the moment. These figures are old.');
  }
}

if (health) {
  refresh();
  setInterval(refresh, EVERY);
  document.addEventListener('visibilitychange', refresh);
}
