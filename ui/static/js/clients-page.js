// @ts-check
// Keeps the list of clients fresh, and finds clients in it.

const EVERY = 3000; // milliseconds

/** @typedef {{client: string, user: string, product: string, address: string, host: string, connection: string,
 *   connected: boolean, traffic: string, totals: string, waiting: string}} Client */

const head = document.querySelector('[data-clients]');
const table = document.querySelector('[data-clients-table]');
const body = table?.querySelector('tbody');
const pattern = document.querySelector('template[data-clients-row]');
const form = document.querySelector('[data-clients-form]');
const pager = document.querySelector('[data-clients-pager]');
let page = pager instanceof HTMLElement ? Number(pager.dataset.clientsPager) : 0;

function setText(/** @type {Element | null | undefined} */ el, /** @type {string} */ text) {
  if (el && el.textContent !== text) el.textContent = text;
}

/** Writes a client into its row; only what changed is touched. */
function fill(/** @type {HTMLElement} */ row, /** @type {Client} */ c) {
  const cell = (/** @type {string} */ name) => row.querySelector(`[data-cell="${name}"]`);
  row.classList.toggle('off', !c.connected);
  row.querySelector('.row-icon')?.classList.toggle('row-icon-on', c.connected);
  setText(cell('user'), c.user || 'anonymous');
  for (const name of /** @type {const} */ (['product', 'address', 'host', 'connection', 'traffic', 'totals', 'waiting'])) setText(cell(name), c[name]);
  const action = row.querySelector('[data-when-connected]');
  if (action instanceof HTMLElement) action.hidden = !c.connected;
}

function make(/** @type {Client} */ c) {
  if (!(pattern instanceof HTMLTemplateElement)) return null;
  const row = pattern.content.firstElementChild?.cloneNode(true);
  if (!(row instanceof HTMLElement)) return null;
  row.dataset.client = c.client;
  for (const input of row.querySelectorAll('input')) input.value = c.client;
  setText(row.querySelector('.row-link bdi'), c.client);
  return row;
}

/** Shows the ways to other pages that there are. */
function turn(/** @type {boolean} */ more) {
  for (const [name, to, on] of /** @type {[string, number, boolean][]} */ ([['previous', page - 1, page > 0], ['next', page + 1, more]])) {
    const button = pager?.querySelector(`[data-clients-${name}]`);
    if (!(button instanceof HTMLButtonElement)) continue;
    button.hidden = !on;
    button.value = String(to);
  }
  if (pager instanceof HTMLElement) pager.hidden = page === 0 && !more;
}

function show(/** @type {{clients: Client[] | null, summary: string, page: number, more: boolean}} */ answer) {
  if (!body || !(table instanceof HTMLElement)) return;
  page = answer.page;
  turn(answer.more);
  setText(document.querySelector('[data-clients-summary]'), answer.summary);
  /** @type {Map<string | undefined, HTMLElement>} */
  const rows = new Map();
  for (const row of body.children) {
    if (row instanceof HTMLElement) rows.set(row.dataset.client, row);
  }
  const list = answer.clients ?? [];
  list.forEach((c, i) => {
    const row = rows.get(c.client) ?? make(c);
    if (!row) return;
    rows.delete(c.client);
    fill(row, c);
    if (body.children[i] !== row) body.insertBefore(row, body.children[i] ?? null);
  });
  for (const row of rows.values()) row.remove();
  table.hidden = list.length === 0;
  const none = document.querySelector('[data-clients-empty]');
  if (none instanceof HTMLElement) none.hidden = list.length > 0;
}

let asked = 0; // questions so far: an answer to an older one is not shown

async function refresh() {
  if (!(head instanceof HTMLElement) || !(form instanceof HTMLFormElement) || document.hidden) return;
  const mine = ++asked;
  try {
    const question = new URLSearchParams();
    for (const [name, value] of new FormData(form)) question.set(name, String(value));
    question.set('page', String(page));
    const answer = await fetch(head.dataset.live ?? '', { method: 'POST', body: question, headers: { Accept: 'application/json' }, redirect: 'manual' });
    if (answer.status === 401 || answer.type === 'opaqueredirect') {
      setText(document.querySelector('[data-clients-summary]'), 'You are logged out. Reload the page to log in again.');
      return;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    const news = await answer.json();
    if (mine === asked) show(news);
  } catch {
    setText(document.querySelector('[data-clients-summary]'), 'HearthMQ does not answer at the moment. This list is old.');
  }
}

if (head && form instanceof HTMLFormElement) {
  form.querySelector('[data-without-script]')?.remove();
  form.addEventListener('input', () => {
    page = 0;
    refresh();
  });
  form.addEventListener('submit', (e) => {
    e.preventDefault();
    if (e.submitter instanceof HTMLButtonElement && e.submitter.name === 'page') {
      page = Number(e.submitter.value);
      scrollTo({ top: 0 });
    }
    refresh();
  });
  setInterval(refresh, EVERY);
  document.addEventListener('visibilitychange', refresh);
}
