// @ts-check
// The log as it grows, narrowed down by level, client and text. Everything that
// is shown was made visible by the server and ends in textContent.

const EVERY = 2000; // milliseconds
const MOST = 1000; // lines that are kept

/** @typedef {{key: string, value: string}} Pair */
/** @typedef {{seq: number, time: string, level: string, message: string, values: Pair[] | null}} Entry */

const form = document.querySelector('[data-logs]');
const list = document.querySelector('[data-logs-list]');
const pattern = document.querySelector('template[data-logs-row]');
const state = document.querySelector('[data-logs-state]');
const pauseButton = document.querySelector('[data-logs-pause]');
const RANK = ['debug', 'info', 'warning', 'error'];

/** @type {Entry[]} */
let entries = []; // the newest first
let last = 0;
let paused = false;

function say(/** @type {string} */ text) {
  if (state && state.textContent !== text) state.textContent = text;
}

function wanted() {
  const field = (/** @type {string} */ name) => {
    const el = form?.querySelector(`[name="${name}"]`);
    return el instanceof HTMLInputElement || el instanceof HTMLSelectElement ? el.value.trim().toLowerCase() : '';
  };
  const least = Math.max(RANK.indexOf(field('level')), 0);
  const client = field('client');
  const text = field('text');
  return (/** @type {Entry} */ e) => {
    if (RANK.indexOf(e.level) < least) return false;
    const values = e.values ?? [];
    if (client && !values.some((v) => (v.key === 'client_id' || v.key === 'user') && v.value.toLowerCase().includes(client))) return false;
    if (!text) return true;
    return `${e.message} ${values.map((v) => `${v.key}=${v.value}`).join(' ')}`.toLowerCase().includes(text);
  };
}

function make(/** @type {Entry} */ e) {
  if (!(pattern instanceof HTMLTemplateElement)) return null;
  const row = pattern.content.firstElementChild?.cloneNode(true);
  if (!(row instanceof HTMLElement)) return null;
  row.className = `log-line log-${e.level}`;
  row.dataset.level = e.level;
  const put = (/** @type {string} */ selector, /** @type {string} */ text) => {
    const el = row.querySelector(selector);
    if (el) el.textContent = text;
  };
  put('time', e.time);
  put('.log-level', e.level);
  put('.log-message', e.message);
  for (const v of e.values ?? []) {
    const value = document.createElement('span');
    value.className = 'log-value';
    const key = document.createElement('span');
    key.className = 'log-key';
    key.textContent = v.key;
    const text = document.createElement('bdi');
    text.textContent = v.value;
    value.append(key, ' ', text);
    row.querySelector('.log-text')?.append(' ', value);
  }
  return row;
}

function empty() {
  const none = document.querySelector('[data-logs-empty]');
  if (none instanceof HTMLElement) none.hidden = (list?.children.length ?? 0) > 0;
}

/** Shows everything that matches anew. */
function show() {
  const matches = wanted();
  const rows = entries.filter(matches).map(make).filter((r) => r !== null);
  list?.replaceChildren(...rows);
  empty();
  say(paused ? 'Paused.' : '');
}

/** Puts what is new above the rest. */
function add(/** @type {Entry[]} */ fresh) {
  const matches = wanted();
  for (const e of fresh) {
    entries.unshift(e);
    const row = matches(e) && make(e);
    if (row) list?.prepend(row);
  }
  entries.length = Math.min(entries.length, MOST);
  while (list && list.children.length > MOST) list.lastElementChild?.remove();
  empty();
}

async function refresh() {
  if (!(form instanceof HTMLElement) || document.hidden || paused) return;
  try {
    const answer = await fetch(`${form.dataset.live}?after=${last}`, { headers: { Accept: 'application/json' }, redirect: 'manual' });
    if (answer.status === 401 || answer.type === 'opaqueredirect') {
      say('You are logged out. Reload the page to log in again.');
      return;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    /** @type {{last: number, entries: Entry[]}} */
    const news = await answer.json();
    if (news.last < last) entries = [];
    const first = last === 0;
    last = news.last;
    if (first) {
      entries = news.entries.reverse();
      show();
    } else add(news.entries);
    say('');
  } catch {
    say('HearthMQ does not answer at the moment. This is old.');
  }
}

if (form instanceof HTMLFormElement && list) {
  form.querySelector('[data-without-script]')?.remove();
  form.addEventListener('input', show);
  form.addEventListener('submit', (e) => e.preventDefault());
  if (pauseButton instanceof HTMLButtonElement) {
    pauseButton.hidden = false;
    pauseButton.addEventListener('click', () => {
      paused = !paused;
      pauseButton.setAttribute('aria-pressed', String(paused));
      const label = pauseButton.querySelector('[data-label]');
      if (label) label.textContent = paused ? 'Continue' : 'Pause';
      pauseButton.querySelector('use')?.setAttribute('href', paused ? '#i-play' : '#i-pause');
      say(paused ? 'Paused.' : '');
      if (!paused) refresh();
    });
  }
  refresh();
  setInterval(refresh, EVERY);
  document.addEventListener('visibilitychange', refresh);
}
