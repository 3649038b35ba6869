// @ts-check
// The packets of a client as they come, narrowed down by direction and text. All of
// it was made visible by the server and ends in textContent.

const EVERY = 1000; // milliseconds
const MOST = 2000; // packets that are kept

/** @typedef {{seq: number, time: string, in: boolean, type: string, topic: string, payload: string,
 *   detail: string, size: string, failed: boolean}} Packet */

const form = document.querySelector('[data-trace]');
const list = document.querySelector('[data-trace-list]');
const pattern = document.querySelector('template[data-trace-row]');
const state = document.querySelector('[data-trace-state]');
const pauseButton = document.querySelector('[data-trace-pause]');

/** @type {Packet[]} */
let packets = []; // the newest first
let last = 0;
let paused = false;
let ended = false;

function wanted() {
  const field = (/** @type {string} */ name) => {
    const el = form?.querySelector(`[name="${name}"]`);
    return el instanceof HTMLInputElement || el instanceof HTMLSelectElement ? el.value.trim().toLowerCase() : '';
  };
  const way = field('way');
  const text = field('text');
  return (/** @type {Packet} */ p) => {
    if (way === 'in' && !p.in || way === 'out' && p.in || way === 'failed' && !p.failed) return false;
    if (way === 'quiet' && p.type.startsWith('PING')) return false;
    return !text || `${p.type} ${p.topic} ${p.payload} ${p.detail}`.toLowerCase().includes(text);
  };
}

function make(/** @type {Packet} */ p) {
  if (!(pattern instanceof HTMLTemplateElement)) return null;
  const row = pattern.content.firstElementChild?.cloneNode(true);
  if (!(row instanceof HTMLElement)) return null;
  row.classList.toggle('log-error', p.failed);
  const put = (/** @type {string} */ selector, /** @type {string} */ text) => {
    const el = row.querySelector(selector);
    if (el) el.textContent = text;
  };
  put('time', p.time);
  put('.log-level', p.in ? 'sent' : 'got');
  for (const name of /** @type {const} */ (['type', 'topic', 'payload', 'detail', 'size'])) put(`[data-cell="${name}"]`, p[name]);
  return row;
}

function empty() {
  const none = document.querySelector('[data-trace-empty]');
  if (none instanceof HTMLElement) none.hidden = (list?.children.length ?? 0) > 0;
}

function show() {
  const matches = wanted();
  list?.replaceChildren(...packets.filter(matches).map(make).filter((r) => r !== null));
  empty();
}

async function refresh() {
  if (!(form instanceof HTMLElement) || document.hidden || paused || ended) return;
  try {
    const answer = await fetch(`${form.dataset.live}?after=${last}`, { headers: { Accept: 'application/json' }, redirect: 'manual' });
    if (answer.status === 401 || answer.type === 'opaqueredirect') {
      if (state) state.textContent = 'You are logged out. Reload the page to log in again.';
      return;
    }
    if (answer.status === 404) {
      ended = true;
      if (state) state.textContent = 'Recording has ended, and what was recorded is gone.';
      return;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    /** @type {{packets: Packet[], stopped: boolean}} */
    const news = await answer.json();
    const matches = wanted();
    if (last === 0) list?.replaceChildren();
    for (const p of news.packets) {
      last = p.seq;
      packets.unshift(p);
      const row = matches(p) && make(p);
      if (row) list?.prepend(row);
    }
    packets.length = Math.min(packets.length, MOST);
    while (list && list.children.length > MOST) list.lastElementChild?.remove();
    if (news.stopped && !ended) {
      ended = true;
      if (state) state.textContent = 'Recording has ended.';
    }
    empty();
  } catch {
    if (state) state.textContent = 'HearthMQ does not answer at the moment. This is old.';
  }
}

if (form instanceof HTMLFormElement && list) {
  form.hidden = false;
  form.addEventListener('input', show);
  form.addEventListener('submit', (e) => e.preventDefault());
  pauseButton?.addEventListener('click', () => {
    paused = !paused;
    pauseButton.setAttribute('aria-pressed', String(paused));
    const label = pauseButton.querySelector('[data-label]');
    if (label) label.textContent = paused ? 'Continue' : 'Pause';
    pauseButton.querySelector('use')?.setAttribute('href', paused ? '#i-play' : '#i-pause');
    if (!paused) refresh();
  });
  refresh();
  setInterval(refresh, EVERY);
  document.addEventListener('visibilitychange', refresh);
}
