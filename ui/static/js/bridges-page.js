// @ts-check
// Keeps the list of bridges fresh.

const EVERY = 3000; // milliseconds

/** @typedef {{name: string, to: string, state: string, on: boolean, problem: string, traffic: string, waiting: string}} Bridge */

const head = document.querySelector('[data-bridges]');
const table = document.querySelector('[data-bridges-table]');

function sentence(/** @type {string} */ text) {
  return text && `${text[0].toUpperCase()}${text.slice(1)}.`;
}

function fill(/** @type {Element} */ row, /** @type {Bridge} */ b) {
  const texts = { to: b.to, state: b.state, problem: sentence(b.problem), traffic: b.traffic, waiting: b.waiting };
  for (const [name, text] of Object.entries(texts)) {
    const cell = row.querySelector(`[data-cell="${name}"]`);
    if (cell && cell.textContent !== text) cell.textContent = text;
  }
  row.querySelector('.row-icon')?.classList.toggle('row-icon-on', b.on);
}

async function refresh() {
  if (!(head instanceof HTMLElement) || !table || document.hidden) return;
  try {
    const answer = await fetch(head.dataset.live ?? '', { headers: { Accept: 'application/json' }, redirect: 'manual' });
    if (!answer.ok) return;
    /** @type {Bridge[]} */
    const list = (await answer.json()).bridges ?? [];
    for (const row of table.querySelectorAll('[data-bridge]')) {
      const b = row instanceof HTMLElement && list.find((x) => x.name === row.dataset.bridge);
      if (b) fill(row, b);
    }
  } catch {
    // The next one may answer; until then the list stays as it is.
  }
}

if (table) {
  setInterval(refresh, EVERY);
  document.addEventListener('visibilitychange', refresh);
}
