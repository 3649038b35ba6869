// @ts-check
// Keeps the overview's figures fresh and draws the line of the last minutes.

const EVERY = 3000; // milliseconds
const KEPT = 60; // points of a line

/** @typedef {{kind: string, title: string, text: string, in: number, out: number,
 *   figures: Record<string, {value: string, detail: string}>}} Overview */

const health = document.querySelector('[data-health]');

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
