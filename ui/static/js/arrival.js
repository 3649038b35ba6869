// @ts-check
// Says when a device connects with the user that was just made for it.

const EVERY = 2000; // milliseconds

const card = document.querySelector('[data-arrival]');
const SIGNS = { waiting: ['info', '#i-clock'], here: ['success', '#i-check'], problem: ['warning', '#i-warning'] };

async function refresh() {
  if (!(card instanceof HTMLElement) || document.hidden) return;
  try {
    const answer = await fetch(card.dataset.arrival ?? '', { headers: { Accept: 'application/json' }, redirect: 'manual' });
    if (!answer.ok) return;
    const { state, title, text } = await answer.json();
    const [kind, icon] = SIGNS[/** @type {keyof SIGNS} */ (state)] ?? SIGNS.waiting;
    for (const k of ['info', 'success', 'warning']) card.classList.toggle(`health-${k}`, k === kind);
    card.querySelector('use')?.setAttribute('href', icon);
    for (const [name, words] of [['title', title], ['text', text]]) {
      const el = card.querySelector(`[data-${name}]`);
      if (el && el.textContent !== words) el.textContent = words;
    }
    const why = card.querySelector('form');
    if (why) why.hidden = state !== 'problem';
  } catch {
    // The next one may answer; until then the page stays as it is.
  }
}

if (card instanceof HTMLElement) {
  card.hidden = false;
  refresh();
  setInterval(refresh, EVERY);
  document.addEventListener('visibilitychange', refresh);
}
